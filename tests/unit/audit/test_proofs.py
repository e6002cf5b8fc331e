"""A proof of one event holds by itself, and only as it was made."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from eventresults.audit.ledger import Ledger
from eventresults.audit.proof import Proof, find, prove
from eventresults.audit.signing import load_public, make_key
from eventresults.audit.source import LogSource
from eventresults.audit.succession import trusted
from eventresults.codec.events import encode_event
from eventresults.domain.events import TaskSent
from eventresults.domain.position import Position
from eventresults.errors import AuditError, ChainBroken, ProofInvalid
from tests.unit.audit.conftest import Scene


@pytest.fixture
def signed(scene: Scene) -> Scene:
    """25 events, in stretches of 10."""
    writer = scene.log.writer()
    for number in range(25):
        event = TaskSent(task_id=f"task-{number}", event_id=f"event-{number}", time=datetime(2026, 1, 1, tzinfo=UTC))
        writer.append(event.task_id.encode(), encode_event(event))
    writer.close()
    scene.notarize()
    return scene


def proof_of(scene: Scene, offset: int, *, links: bool = True) -> Proof:
    source, ledger = LogSource(scene.log, timeout=1), Ledger(scene.folder)
    return prove(
        source,
        trusted(ledger.checkpoints(), scene.keys, log_id=source.log_id, url=source.url),
        Position(0, offset),
        ledger=ledger if links else None,
    )


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("offset", [0, 9, 10, 13, 20, 24])
def test_any_signed_event_can_be_proven_with_nothing_but_the_proof_and_the_public_key(signed: Scene, offset: int, links: bool):
    # given
    told = json.dumps(proof_of(signed, offset, links=links).as_json())
    # when
    proof = Proof.from_json(json.loads(told), "here")
    proof.check(signed.keys)
    # then
    assert proof.position == Position(0, offset)
    assert json.loads(proof.record.value)["event_id"] == f"event-{offset}"


def test_an_event_is_found_by_its_id(signed: Scene):
    source = LogSource(signed.log, timeout=1)
    assert find(source, "event-2") == Position(0, 2)
    assert find(source, "event") is None


def alterations(whole: dict[str, Any]) -> dict[str, Any]:
    def changed(**fields: Any) -> dict[str, Any]:
        return {**copy.deepcopy(whole), **fields}

    def signed_with(**fields: Any) -> dict[str, Any]:
        other = copy.deepcopy(whole)
        other["signed"]["checkpoint"] |= fields
        return other

    return {
        "offset": changed(offset=14),
        "an offset beyond its checkpoint": changed(offset=20),
        "partition": changed(partition=1),
        "time": changed(log_time=whole["log_time"] + 1),
        "key": changed(key=None),
        "value": changed(value="e30="),
        "the link before": changed(before="00" * 32),
        "index": changed(index=4),
        "a negative index": changed(index=-1),
        "an index that is a flag": changed(index=True),
        "a path cut short": changed(path=whole["path"][:-1]),
        "a longer path": changed(path=[*whole["path"], "00" * 32]),
        "root": signed_with(root="00" * 32),
        "count": signed_with(count=9),
        "a checkpoint with more in it": signed_with(extra=1),
        "signature": changed(signed={**whole["signed"], "signature": "AAAA"}),
        "no signature": changed(signed={}),
        "no base64": changed(value="!"),
        "a missing field": {name: value for name, value in whole.items() if name != "path"},
        "a list": [],
        "a text": "proof",
        "nothing": None,
    }


@pytest.mark.parametrize("name", alterations({"log_time": 0, "path": [], "signed": {"checkpoint": {}}}))
def test_an_altered_proof_does_not_hold(signed: Scene, name: str):
    altered = alterations(proof_of(signed, 13).as_json())[name]
    with pytest.raises(ProofInvalid):
        Proof.from_json(altered, "here").check(signed.keys)


def test_a_proof_by_a_key_that_is_not_trusted_does_not_hold(signed: Scene):
    make_key(signed.home / "other")
    with pytest.raises(ProofInvalid, match="signed by the key"):
        proof_of(signed, 1).check(load_public([signed.home / "other.pub"]))


def test_what_is_not_signed_yet_cannot_be_proven(signed: Scene):
    signed.append(1)
    with pytest.raises(AuditError, match="not signed yet"):
        proof_of(signed, 25)


@pytest.mark.parametrize("links", [True, False])
def test_what_was_altered_cannot_be_proven(signed: Scene, links: bool):
    signed.sql("UPDATE records SET value = x'00' WHERE offset = 13")
    with pytest.raises(ChainBroken):
        proof_of(signed, 13, links=links)


def test_beside_an_altered_record_the_links_still_prove_the_others(signed: Scene):
    signed.sql("UPDATE records SET value = x'00' WHERE offset = 13")
    proof_of(signed, 14).check(signed.keys)
