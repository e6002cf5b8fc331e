"""Chords with a real worker: prefork, a broker made of files, and a log that outlives whoever is killed."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.views import until

pytest.importorskip("celery")

from celery import chain, chord, group
from celery.exceptions import ChordError

DEADLINE = 40.0
LEASE = 1.5


class Farm:
    """A worker, and a client of it."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.folder = folder
        for name in ("queue", "control"):
            (folder / name).mkdir(exist_ok=True)
        self.environment = {
            **os.environ,
            "EVENTRESULTS_TEST_FOLDER": str(folder),
            "EVENTRESULTS_TEST_BACKEND": backend,
            "EVENTRESULTS_TEST_OPTIONS": json.dumps(
                {"claim_timeout": LEASE, "view": str(folder / "view"), "read_timeout": DEADLINE, "connect_timeout": DEADLINE}
            ),
        }

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        options = ["-P", "prefork", "-c", "2", "-l", "INFO", "--without-mingle", "--without-gossip", "--without-heartbeat"]
        with (self.folder / "worker.log").open("ab") as log:
            command = [sys.executable, "-m", "celery", "-A", "tests.support.celeryapp", "worker", *options]
            process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def lines(self, name: str) -> int:
        """How often a task left a line in the file of this name."""
        file = self.folder / name
        return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"eventresults+sqlite:///{tmp_path}/events.db"
    kafka = request.getfixturevalue("kafka")
    return f"eventresults+kafka://{kafka.bootstrap}/{request.getfixturevalue('make_topic')(partitions=3)}"


@pytest.fixture
def farm(tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Farm, Any]]:
    farm = Farm(tmp_path, backend)
    for name in ("EVENTRESULTS_TEST_FOLDER", "EVENTRESULTS_TEST_BACKEND", "EVENTRESULTS_TEST_OPTIONS"):
        monkeypatch.setenv(name, farm.environment[name])
    sys.modules.pop("tests.support.celeryapp", None)
    tasks = importlib.import_module("tests.support.celeryapp")
    yield farm, tasks
    tasks.app.backend.tracker.close()
    tasks.app.close()
    del sys.modules["tests.support.celeryapp"]


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
