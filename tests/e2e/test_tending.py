"""The view that another process owns is verified, kept, rebuilt and restored from here, while that process goes on reading it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import eventresults
from eventresults import Tracker
from eventresults.cli.entry import run
from eventresults.errors import ViewCorrupt, ViewError
from tests.support.views import tell_life, until

DEADLINE = 30.0
IDS = [f"t{number}" for number in range(200)]

OWNER = """
import sys, time
import eventresults
tracker = eventresults.connect(sys.argv[1])
assert tracker.read("t0").state == "SUCCESS"
print("reads", flush=True)
while True:
    time.sleep(0.01)
    assert tracker.read("t1").result == "t1"
    assert tracker.read("nobody") is None
    assert [meta.state for meta in tracker.read_many(["t2", "t3"], freshness="latest").values()] == ["SUCCESS"] * 2
    print("reads", flush=True)
"""


class Reader:
    """A process that owns the view, or reads where it is, and ends at its first wrong answer."""

    def __init__(self, url: str) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.popen = subprocess.Popen([sys.executable, "-c", OWNER, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        self.reads(1)

    def reads(self, times: int) -> None:
        """Wait until it has read so many times more than before this call."""
        while select.select([self.popen.stdout], [], [], 0)[0]:
            assert os.read(self.popen.stdout.fileno(), 65536), self.popen.stderr.read().decode()
        seen = 0
        deadline = time.monotonic() + DEADLINE
        while seen < times:
            assert select.select([self.popen.stdout], [], [], max(0, deadline - time.monotonic()))[0], "it is silent"
            read = os.read(self.popen.stdout.fileno(), 65536)
            assert read, self.popen.stderr.read().decode()
            seen += read.count(b"\n")


@contextmanager
def another(url: str) -> Iterator[Reader]:
    reader = Reader(url)
    try:
        yield reader
    finally:
        reader.popen.kill()
        reader.popen.wait(DEADLINE)
        reader.popen.stdout.close()
        reader.popen.stderr.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    with eventresults.connect(url) as tracker:
        tell_life(tracker.recorder(), IDS)
    return url


def generation(tracker: Tracker) -> int:
    return tracker.view_stats()["generation"]


@pytest.mark.slow
def test_a_view_is_tended_from_another_process_than_its_owner(url: str, tmp_path: Path) -> None:
    with another(url) as owner, eventresults.connect(url) as tracker:
        assert tracker.view_stats()["pid"] == owner.popen.pid
        # when / then
        assert tracker.verify() == []
        snapshot = tracker.snapshot(tmp_path / "kept")
        owner.reads(5)
        assert generation(tracker) == 1
        # when / then
        assert tracker.rebuild() == 3 * len(IDS)
        until(lambda: generation(tracker) == 2)  # once the owner of the one before has seen it
        owner.reads(5)
        assert tracker.verify() == []
        # when / then
        assert tracker.restore(snapshot) == 3
        until(lambda: generation(tracker) == 3)  # once the owner of the one before has seen it
        owner.reads(5)
        assert tracker.verify() == []
        assert tracker.read("t7").result == "t7"


@pytest.mark.slow
def test_damage_that_its_owner_does_not_see_is_healed_once_a_checkpoint_shows_it(url: str) -> None:
    # Found by round host:888598.
    with another(url) as owner, eventresults.connect(url) as tracker:
        # given: a store reads these when it is opened, and no more
        assert tracker.verify() == []
        for manifest in Path(tracker.view_stats()["path"]).glob("1/0/MANIFEST-*"):
            manifest.write_bytes(b"\xff" * manifest.stat().st_size)

        # when
        with pytest.raises(ViewCorrupt):
            tracker.verify()

        # then
        until(lambda: generation(tracker) == 2, timeout=DEADLINE)
        owner.reads(3)
        assert tracker.verify() == []


@pytest.mark.slow
def test_files_that_were_removed_under_their_owner_are_noticed_once_a_checkpoint_wants_them(url: str) -> None:
    # Found by round kafka:495185: `current` was there, and what the store had open it could read on.
    with another(url) as owner, eventresults.connect(url) as tracker:
        # given
        assert tracker.verify() == []
        for file in Path(tracker.view_stats()["path"]).glob("1/0/*"):
            file.unlink()

        # when
        with pytest.raises(ViewError):
            tracker.verify()

        # then
        until(lambda: generation(tracker) == 2, timeout=DEADLINE)
        owner.reads(3)
        assert tracker.verify() == []


@pytest.mark.slow
def test_the_commands_do_so_too(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = str(tmp_path / "kept")
    with another(url) as owner:
        for words in (["verify"], ["snapshot", "--to", kept], ["rebuild"], ["restore", "--from", kept], ["verify"]):
            assert run(["view", *words, "--url", url]) == 0, capsys.readouterr().err
            owner.reads(3)


def test_the_process_that_restores_may_own_the_view_itself(url: str, tmp_path: Path) -> None:
    with eventresults.connect(url) as tracker:
        assert tracker.read("t7").result == "t7"
        assert tracker.view_stats()["pid"] == os.getpid()
        snapshot = tracker.snapshot(tmp_path / "kept")
        assert tracker.restore(snapshot) == 2
        tell_life(tracker.recorder(), ["later"])
        assert tracker.read("later").state == "SUCCESS"
        assert generation(tracker) == 2
        assert tracker.verify() == []
