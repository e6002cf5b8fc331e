"""A process is killed while it takes a snapshot, restores one, or builds a view beside another: it is as it was, or the new one."""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from eventresults.log.sqlite import SqliteLog
from eventresults.recorder import Appender, Recorder
from eventresults.service.afresh import verify
from eventresults.service.owner import Owner
from eventresults.service.places import FolderPlace
from eventresults.service.snapshots import restore, snapshot
from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore
from tests.support.views import tell_life

DEADLINE = 30.0
ROUNDS = 5
TASKS = 2_000
RESOURCES = RocksResources(block_cache=4 * MEGABYTE, write_buffers=MEGABYTE)

ACT = """
import os, sys
from pathlib import Path
from eventresults.log.sqlite import SqliteLog
from eventresults.service.afresh import rebuild_beside
from eventresults.service.owner import Owner
from eventresults.service.places import FolderPlace
from eventresults.service.snapshots import restore, snapshot
from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore

folder, act = Path(sys.argv[1]), sys.argv[2]
resources = RocksResources(block_cache=4 * MEGABYTE, write_buffers=MEGABYTE)
place = FolderPlace(folder / "view", lambda path: RocksStore(path, resources=resources))
log = SqliteLog(folder / "log.db")
owner = Owner.open(log, place) if act == "snapshot" else None
while True:
    os.write(1, b".")
    if act == "snapshot":
        snapshot(owner, folder / "kept", keep=2)
    elif act == "restore":
        restore(log, place, folder / "kept")
    else:
        rebuild_beside(log, place)
"""


def run_and_kill(path: Path, act: str, chance: random.Random) -> None:
    """Let a process do this again and again, and kill it amid one of the first few times."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", ACT, str(path), act], stdout=subprocess.PIPE, env=environment) as process:
        try:
            begun = []
            for _ in range(chance.randrange(1, 4)):
                assert select.select([process.stdout], [], [], DEADLINE)[0], "the process is silent"
                assert os.read(process.stdout.fileno(), 1), "the process ended by itself"
                begun.append(time.monotonic())
            usual = begun[-1] - begun[-2] if len(begun) > 1 else 0.2
            time.sleep(chance.random() * usual)  # anywhere within the next one
            assert process.poll() is None, "the process ended by itself"
        finally:
            process.kill()
            process.wait(DEADLINE)


@pytest.mark.slow
@pytest.mark.parametrize("act", ["snapshot", "restore", "rebuild"])
@pytest.mark.parametrize("seed", [1])
def test_kill_9_leaves_a_view_that_opens_and_nothing_for_good(tmp_path: Path, act: str, seed: int) -> None:
    # given: a view and a snapshot of it
    chance = random.Random(seed)
    place = FolderPlace(tmp_path / "view", lambda path: RocksStore(path, resources=RESOURCES))
    with closing(SqliteLog(tmp_path / "log.db")) as log:
        appender = Appender(log)
        tell_life(Recorder(appender, worker="w1"), [f"t{number}" for number in range(TASKS)])
        appender.close()
        with closing(Owner.open(log, place)) as owner:
            deadline = time.monotonic() + DEADLINE
            while owner.heads[0].next_offset < 3 * TASKS:
                assert time.monotonic() < deadline, "the view does not move"
                time.sleep(0.01)
            snapshot(owner, tmp_path / "kept")

        for _ in range(ROUNDS):
            generation = place.current()
            # when
            run_and_kill(tmp_path, act, chance)

            # then: the view is right, whichever generation it is now, and nothing else is left of it
            with closing(Owner.open(log, place)) as owner:
                assert owner.generation >= generation
                assert owner.generation == generation or act != "snapshot"
                assert owner.heads[0].next_offset == 3 * TASKS
                assert verify(owner, lambda path: RocksStore(path, resources=RESOURCES)) == []
                left = sorted(path.name for path in (tmp_path / "view").iterdir())
                assert [name for name in left if name != "checkpoints"] == [str(owner.generation), "current"]
                assert not list((tmp_path / "view").glob("checkpoints/*/"))  # a lock that nobody holds may be there
                # and each snapshot is whole; what was not goes with the next one
                kept = [path for path in (tmp_path / "kept").iterdir() if not path.name.startswith(".")]
                assert kept
                for number, path in enumerate(kept):
                    other = FolderPlace(tmp_path / "others" / f"{number}-{time.monotonic_ns()}", RocksStore)
                    restore(log, other, path)
                snapshot(owner, tmp_path / "kept", keep=2)
                assert all(path.name.startswith("snapshot-") for path in (tmp_path / "kept").iterdir())
