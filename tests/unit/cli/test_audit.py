"""`eventresults audit`."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import pytest


@pytest.fixture
def signed(appended):
    """A shell whose log is signed by the key in the file `key`."""
    assert appended("audit", "keygen", "key").code == 0
    done = appended("audit", "notary", "--key", "key", "--once", "--every", "4")
    assert done.code == 0, done.err
    return appended


def alter(statement: str) -> None:
    with sqlite3.connect("events.db") as database:
        database.execute(statement)
    database.close()


def test_a_signed_log_verifies_and_tells_of_each_partition(signed):
    done = signed("audit", "verify", "--public", "key.pub")
    assert done.code == 0
    (partition,) = done.row["report"]["partitions"]
    assert (partition["ok"], partition["checkpoints"], partition["signed"], partition["unsigned"]) == (True, 3, 10, 0)
    assert "Nothing differs in 10 signed records." in done.err


def test_status_tells_how_far_the_log_is_signed(signed):
    signed("events", "append", stdin='{"kind": "task-sent", "task_id": "later"}')
    row = signed("audit", "status").row
    assert (row["signed"], row["to"], row["end"], row["behind"], row["checkpoint"]) == (10, 10, 11, 1, 2)


def test_a_log_that_was_altered_is_1_and_told_with_its_position(signed):
    alter("UPDATE records SET value = x'7b7d' WHERE offset = 5")
    done = signed("audit", "verify", "--public", "key.pub", "-o", "table")
    assert done.code == 1
    assert "the record at 0:5 was altered" in done.err
    done = signed("audit", "verify", "--public", "key.pub")
    assert (done.code, done.row["report"]["partitions"][0]["difference"]["offset"]) == (1, 5)


def test_the_notary_does_not_go_on_over_an_altered_log(signed):
    alter("UPDATE records SET value = x'7b7d' WHERE offset = 9")
    done = signed("audit", "notary", "--key", "key", "--once")
    assert done.code == 1
    assert "0:9" in done.err


def test_a_signed_report_holds_later_logs_to_what_it_saw(signed):
    # given
    assert signed("audit", "keygen", "auditor").code == 0
    done = signed("audit", "verify", "--public", "key.pub", "--key", "auditor", "--report", "report.json")
    assert done.code == 0
    assert json.loads(Path("report.json").read_text()) == done.row
    assert set(done.row) == {"report", "key", "signature"}
    keys = ("--public", "key.pub", "--public", "auditor.pub")
    assert signed("audit", "verify", *keys, "--since", "report.json").code == 0
    # when the log and its ledger are rolled back together
    alter("DELETE FROM records WHERE offset >= 8")
    checkpoints = Path("events.db.ledger/checkpoints.jsonl")
    checkpoints.write_text("".join(checkpoints.read_text().splitlines(keepends=True)[:2]))
    # then only the earlier report tells
    assert signed("audit", "verify", *keys).code == 0
    done = signed("audit", "verify", *keys, "--since", "report.json")
    assert done.code == 1
    assert "rolled back" in done.err
    # and a report that was altered tells nothing
    assert "not signed by" in signed("audit", "verify", "--public", "key.pub", "--since", "report.json").err
    report = Path("report.json")
    report.write_text(report.read_text().replace('"signed": 10', '"signed": 8'))
    assert "not signed by" in signed("audit", "verify", *keys, "--since", "report.json").err
    assert signed("audit", "verify", *keys, "--since", "nowhere.json").code == 2


def test_an_event_is_proven_and_the_proof_checked_without_the_log(signed, monkeypatch):
    event = json.loads(signed("events", "cat", "--id", "ok", "--kind", "task-succeeded").out)
    done = signed("audit", "prove", event["event"]["event_id"], "--public", "key.pub", "--out", "proof.json")
    assert done.code == 0, done.err
    monkeypatch.setenv("EVENTRESULTS_URL", "sqlite:///gone/nowhere.db")
    done = signed("audit", "check", "proof.json", "--public", "key.pub")
    assert (done.code, done.row["event"]["task_id"], done.row["offset"]) == (0, "ok", 2)
    assert "It holds" in done.err


def test_a_proof_can_be_had_by_position_and_does_not_hold_once_altered(signed):
    done = signed("audit", "prove", "0:3", "--public", "key.pub")
    assert done.code == 0
    Path("proof.json").write_text(json.dumps({**done.row, "log_time": done.row["log_time"] + 1}))
    done = signed("audit", "check", "proof.json", "--public", "key.pub")
    assert done.code == 1
    assert "does not hold" in done.err


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (("verify", "--public", "nowhere.pub"), 78, "cannot be read"),
        (("verify", "--public", "key"), 78, "no public key"),
        (("verify", "--public", "key.pub", "--ledger", "nowhere"), 78, "no ledger"),
        (("notary", "--key", "nowhere", "--once"), 78, "audit keygen nowhere"),
        (("notary", "--key", "key.pub", "--once"), 78, "key.pub"),
        (("keygen", "key"), 78, "exists"),
        (("prove", "no-such-event", "--public", "key.pub"), 3, "no event no-such-event"),
        (("prove", "0:99", "--public", "key.pub"), 3, "no event 0:99"),
        (("prove", "7:0", "--public", "key.pub"), 3, "no event 7:0"),
        (("check", "nowhere.json", "--public", "key.pub"), 2, "cannot be read"),
        (("check", "key.pub", "--public", "key.pub"), 2, "no JSON"),
        (("prove", "0:1", "--public", "key.pub", "--out", "no/where.json"), 2, "cannot be written"),
        (("verify", "--public", "key.pub", "--published", "sqlite:///no/where.db"), 69, ""),
    ],
)
def test_what_cannot_be_done_is_said_with_its_code(signed, command, code, says):
    done = signed("audit", *command)
    assert (done.code, done.out) == (code, ""), done.err
    assert says in done.err
    assert done.err.splitlines()[-1].startswith("Error: ")


def test_checkpoints_are_published_in_another_log_and_do_for_verifying(signed):
    done = signed("audit", "notary", "--key", "key", "--once", "--publish", "sqlite:///checkpoints.db")
    assert done.code == 0, done.err
    assert len(signed("events", "cat", "--url", "sqlite:///checkpoints.db").rows) == 3  # those that were only in the ledger
    done = signed("audit", "verify", "--public", "key.pub", "--published", "sqlite:///checkpoints.db", "--ledger", "nowhere")
    assert done.code == 0, done.err
    assert "published alone" in done.err


def test_what_retention_took_from_the_log_is_verified_and_proven_by_the_archive(signed):
    # given an archive of it all, and a log that keeps less
    assert signed("archive", "run", "--once", "--archive", "archive").code == 0
    alter("DELETE FROM records WHERE offset < 6")
    alter("UPDATE about SET start = 6")
    [by_log] = signed("audit", "verify", "--public", "key.pub").row["report"]["partitions"]
    assert (by_log["ok"], by_log["gone"], by_log["verified"]) == (True, 6, 4)
    # then
    done = signed("audit", "verify", "--public", "key.pub", "--archive", "archive")
    [by_archive] = done.row["report"]["partitions"]
    assert (by_archive["ok"], by_archive["gone"], by_archive["verified"]) == (True, 0, 10)
    proof = signed("audit", "prove", "0:2", "--public", "key.pub", "--archive", "archive", "--out", "proof.json")
    assert proof.code == 0, proof.err
    assert signed("audit", "check", "proof.json", "--public", "key.pub").code == 0
    # and what was signed since, and not archived yet, is no cut
    signed("events", "append", stdin='{"kind": "task-sent", "task_id": "later"}')
    assert signed("audit", "notary", "--key", "key", "--once").code == 0
    [by_archive] = signed("audit", "verify", "--public", "key.pub", "--archive", "archive").row["report"]["partitions"]
    assert (by_archive["ok"], by_archive["gone"], by_archive["verified"], by_archive["unsigned"]) == (True, 1, 10, 0)


def test_an_archive_of_an_altered_log_is_found_out(signed):
    alter("UPDATE records SET value = x'7b7d' WHERE offset = 5")
    assert signed("archive", "run", "--once", "--archive", "archive").code == 0
    done = signed("audit", "verify", "--public", "key.pub", "--archive", "archive")
    assert (done.code, done.row["report"]["partitions"][0]["difference"]["offset"]) == (1, 5)


def test_an_archive_that_is_not_there_is_78(signed):
    done = signed("audit", "verify", "--public", "key.pub", "--archive", "nowhere")
    assert (done.code, done.out) == (78, "")


def test_a_missing_extra_is_told_with_its_cure(signed, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    done = signed("audit", "verify", "--public", "key.pub")
    assert done.code == 78
    assert "pip install 'eventresults[audit]'" in done.err


def test_verifying_with_another_key_is_1(signed):
    signed("audit", "keygen", "other")
    done = signed("audit", "verify", "--public", "other.pub")
    assert done.code == 1
    assert "trusted are" in done.err
