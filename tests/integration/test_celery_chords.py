"""Chords with a real worker: prefork, a broker made of files, and a log that outlives whoever is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.celeryfarm import DEADLINE, Farm
from tests.support.views import until

pytest.importorskip("celery")

from celery import chain, chord, group
from celery.exceptions import ChordError

LEASE = 1.5


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"eventresults+sqlite:///{tmp_path}/events.db"
    kafka = request.getfixturevalue("kafka")
    return f"eventresults+kafka://{kafka.bootstrap}/{request.getfixturevalue('make_topic')(partitions=3)}"


@pytest.fixture
def farm(tmp_path: Path, backend: str) -> Iterator[tuple[Farm, Any]]:
    farm = Farm(tmp_path, "tests.support.celeryapp", backend, claim_timeout=LEASE, read_timeout=DEADLINE, connect_timeout=DEADLINE)
    with farm.client() as tasks:
        yield farm, tasks


def test_chords_of_every_form_arrive(farm):
    farm, tasks = farm
    add, total, echo, fail, note = tasks.add, tasks.total, tasks.echo, tasks.fail, tasks.note
    with farm.worker():
        # given / when
        plain = chord([add.s(number, number) for number in range(20)])(total.s())
        lazy = chord(add.s(number, 1) for number in range(7))(echo.s())
        nested = chord([add.s(1, 1), chain(add.s(2, 2), group(add.s(1), add.s(2)))])(echo.s())
        of_chords = chord([chord([add.s(1, 1), add.s(2, 2)], total.s()), add.s(3, 3)])(echo.s())
        chained = chain(group(add.s(1, 1), add.s(2, 2)), total.s(), add.s(4)).delay()
        failing = chord([fail.s(), add.s(1, 1)])(total.s().on_error(note.si("errback")))

        # then
        assert plain.get(timeout=DEADLINE) == 380
        assert lazy.get(timeout=DEADLINE) == [1, 2, 3, 4, 5, 6, 7]
        assert nested.get(timeout=DEADLINE) == [2, [5, 6]]
        assert of_chords.get(timeout=DEADLINE) == [6, 6]
        assert chained.get(timeout=DEADLINE) == 10
        with pytest.raises(ValueError, match="broken"):  # what its parent raised
            failing.get(timeout=DEADLINE)
        assert isinstance(failing.result, ChordError)
        until(lambda: farm.lines("errback") == 1, timeout=DEADLINE)


@pytest.mark.parametrize(("when", "sent"), [("die-before", 1), ("die-after", 2)])
def test_a_worker_killed_while_it_sends_the_body_is_followed_and_the_body_has_the_same_id(farm, when: str, sent: int):
    farm, tasks = farm
    (farm.folder / when).touch()
    with farm.worker():
        # when: no further part comes
        result = chord([tasks.add.s(number, number) for number in range(4)])(tasks.fatal.s())

        # then
        assert result.get(timeout=DEADLINE) == 12
        until(lambda: farm.lines("bodies") >= sent, timeout=DEADLINE)
    assert not (farm.folder / when).exists()
    assert farm.lines("bodies") == sent
    kinds = [fact.event.kind for fact in tasks.app.backend.home.reader.history(result.parent.id)]
    assert kinds[-3:] == ["group-dispatching", "group-dispatching", "group-dispatched"]


def test_a_chord_that_all_its_workers_left_is_seen_to_by_the_next(farm):
    farm, tasks = farm
    (farm.folder / "die-before").touch()
    with farm.worker() as first:
        result = chord([tasks.add.s(number, number) for number in range(4)])(tasks.fatal.s())
        until(lambda: not (farm.folder / "die-before").exists(), timeout=DEADLINE)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert farm.lines("bodies") == 0

    with farm.worker():
        assert result.get(timeout=DEADLINE) == 12
