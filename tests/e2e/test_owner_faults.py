"""A process that folds a log is killed again and again: the view goes on from where it was, and is equal to a fold in one go."""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eventresults.log.sqlite import SqliteLog
from eventresults.recorder import Appender, Recorder
from eventresults.service.afresh import verify
from eventresults.service.places import FolderPlace
from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore
from tests.support.views import viewing

DEADLINE = 30.0
ROUNDS = 6
TASKS = 4_000

FOLDER = '''
import os, sys, time
from pathlib import Path
from eventresults.log.base import Poll
from eventresults.log.own import OwnWrites
from eventresults.log.sqlite import SqliteLog
from eventresults.projector import Lifetimes
from eventresults.service.local import LocalView
from eventresults.service.places import FolderPlace
from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore

class SmallPolls:
    """What a reader gave, a hundred records at a time."""

    def __init__(self, reader):
        self.reader, self.left = reader, []

    def poll(self, timeout):
        if not self.left:
            poll = self.reader.poll(timeout).get(0)
            records = poll.records if poll else []
            self.left = [records[at : at + 100] for at in range(0, len(records), 100)]
        if not self.left:
            return {}
        records = self.left.pop(0)
        return {0: Poll(records, records[-1].offset + 1)}

    def wake(self):
        self.reader.wake()

    def close(self):
        self.reader.close()

class Log(SqliteLog):
    def reader(self, positions):
        return SmallPolls(super().reader(positions))

folder = Path(sys.argv[1])
resources = RocksResources(block_cache=4 * MEGABYTE, write_buffers=MEGABYTE)
place = FolderPlace(folder / "view", lambda path: RocksStore(path, resources=resources))
log = Log(folder / "log.db")
view = LocalView(log, place, OwnWrites(), lifetimes=Lifetimes(), read_timeout=10, connect_timeout=10)
owner = view.owner
while True:
    head = owner.heads[0]
    os.write(1, b"%d %d %d\\n" % (owner.generation, head.next_offset, head.counts.get("records", 0)))
    time.sleep(0.0005)
'''


def tell(path: Path, chance: random.Random) -> int:
    """A log of interleaved lives with repetitions, forgettings and garbage; the number of its records."""
    log = SqliteLog(path / "log.db")
    appender = Appender(log)
    recorder = Recorder(appender, worker="w1", result_expires=3_600)
    flying: list[tuple[str, int]] = []
    for number in range(TASKS):
        flying.append((f"t{number}", 0))
        while len(flying) > 50 or (number == TASKS - 1 and flying):
            index = chance.randrange(len(flying))
            task_id, step = flying[index]
            match step:
                case 0:
                    recorder.sent(task_id, name="add", args=[number])
                case 1:
                    recorder.started(task_id, event_id=f"start-{task_id}")
                case 2:
                    recorder.started(task_id, event_id=f"start-{task_id}")
                case 3 if chance.random() < 0.2:
                    recorder.failed(task_id, error=ValueError(number))
                case 3:
                    recorder.succeeded(task_id, result=number)
                case _:
                    if chance.random() < 0.1:
                        recorder.forgotten(task_id)
                    del flying[index]
                    continue
            flying[index] = (task_id, step + 1)
    assert recorder.flush(DEADLINE)
    appender.close()
    count = log.info(5).ends[0]
    log.close()
    return count


def fold_and_kill(path: Path, chance: random.Random, least: int) -> list[tuple[int, int, int]]:
    """Let a process fold until it is somewhere, kill it; what it had told: (generation, position, records folded)."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", FOLDER, str(path)], stdout=subprocess.PIPE, env=environment) as process:
        try:
            printed = b""
            deadline = time.monotonic() + DEADLINE
            while not printed.count(b"\n") or int(printed[: printed.rindex(b"\n")].split(b"\n")[-1].split()[1]) < least:
                assert select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0], "the process is silent"
                read = os.read(process.stdout.fileno(), 65536)
                assert read, "the process ended by itself"
                printed += read
            time.sleep(chance.random() * 0.02)  # anywhere within a poll
        finally:
            process.kill()
        printed += process.stdout.read()
        process.wait(DEADLINE)
    lines = printed[: printed.rindex(b"\n")].split(b"\n")
    return [tuple(map(int, line.split())) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_kill_9_of_a_folding_process_costs_nothing_that_was_folded(tmp_path: Path, seed: int):
    # given
    chance = random.Random(seed)
    count = tell(tmp_path, chance)
    position = 0

    # when
    for round_ in range(ROUNDS):
        told = fold_and_kill(tmp_path, chance, min(position + chance.randrange(1, 3_000), count))

        # then: it went on from where the one before it was, and folded no record twice
        assert told[0][1] >= position, "it began before the stored position"
        assert all(generation == 1 and folded == at for generation, at, folded in told)
        assert round_ == 0 or told[0][1] > 0
        position = told[-1][1]

    # then: the view is that of a fold in one go
    resources = RocksResources(block_cache=4 * MEGABYTE, write_buffers=MEGABYTE)

    def store(path: Path) -> RocksStore:
        return RocksStore(path, resources=resources)

    log = SqliteLog(tmp_path / "log.db")
    with viewing(log, FolderPlace(tmp_path / "view", store)) as (view, _):
        assert view.owner.heads[0].next_offset >= position
        assert view.get("nobody") is None
        assert verify(view.owner, store) == []
        head = view.owner.heads[0]
        assert (head.next_offset, head.counts["records"], head.counts["duplicate"]) == (count, count, TASKS)
        assert view.owner.generation == 1
    log.close()


def test_a_second_process_reads_through_the_owner_and_owns_the_view_once_that_one_is_gone(tmp_path: Path):
    # given: a process that owns it
    tell(tmp_path, random.Random(3))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    resources = RocksResources(block_cache=4 * MEGABYTE, write_buffers=MEGABYTE)
    log = SqliteLog(tmp_path / "log.db")
    place = FolderPlace(tmp_path / "view", lambda path: RocksStore(path, resources=resources))
    with subprocess.Popen([sys.executable, "-c", FOLDER, str(tmp_path)], stdout=subprocess.PIPE, env=environment) as process:
        try:
            assert select.select([process.stdout], [], [], DEADLINE)[0], "the process is silent"

            # when / then
            with viewing(log, place) as (view, _):
                assert view.get("t1") is not None
                assert view.held.pid == process.pid
        finally:
            process.kill()
            process.wait(DEADLINE)

    # when / then: the lock of the dead is free
    with viewing(log, place) as (view, _):
        assert view.get("t1") is not None
    log.close()
