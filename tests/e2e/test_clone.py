"""A generation whose owner is stopped, or still writing at full speed, is succeeded by a clone that holds a prefix of what was written."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from eventresults.errors import ViewCorrupt, ViewError
from eventresults.view import clone
from eventresults.view.clone import clone_shard
from eventresults.view.generation import ViewFolder
from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore

DEADLINE = 30.0
ROWS = 2  # of a batch
LIVE = 3  # a batch deletes the moving row of the one this many before it

WRITER = """
import os, random, signal, sys
from eventresults.view.generation import ViewFolder
from eventresults.view.rocksdb import RocksResources, RocksStore
ROWS, LIVE = int(sys.argv[2]), int(sys.argv[3])
signal.signal(signal.SIGTERM, signal.SIG_DFL)
generation = ViewFolder(sys.argv[1]).open()
# a write-ahead log and a table every few milliseconds, and a compaction for every four of them
stores = [RocksStore(generation.shard_path(p), resources=RocksResources(block_cache=2**20, write_buffers=64 * 1024)) for p in (0, 1)]
small, large = os.urandom(1000), os.urandom(5000)  # in a table, and outside of it
number = 0
while True:
    filling = large if number % 4 == 0 else small
    puts = {b"row%08d-%d" % (number, row): b"%d" % number + filling for row in range(ROWS)}
    puts[b"moving%08d" % number] = b""
    puts[b"head"] = b"%d" % number
    for store in stores:
        store.commit(puts, [b"moving%08d" % (number - LIVE)])
    if number % 50 == 0:
        os.write(1, b"%d\\n" % number)
    number += 1
"""
RESOURCES = RocksResources(block_cache=4 * MEGABYTE, write_buffers=4 * MEGABYTE)


class Writer:
    """A process that owns a view and writes to it as fast as it can."""

    def __init__(self, view: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.popen = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(view), str(ROWS), str(LIVE)], stdout=subprocess.PIPE, env=environment
        )
        self.printed = b""

    def told(self) -> int:
        """The last number that it is known to have committed."""
        while select.select([self.popen.stdout], [], [], 0)[0]:
            read = os.read(self.popen.stdout.fileno(), 65536)
            assert read, "the writer ended by itself"
            self.printed += read
        return int(self.printed[: self.printed.rindex(b"\n")].split(b"\n")[-1]) if b"\n" in self.printed else -1

    def wait_for(self, number: int) -> None:
        deadline = time.monotonic() + DEADLINE
        while self.told() < number:
            assert time.monotonic() < deadline, "the writer is too slow"
            time.sleep(0.005)


@contextmanager
def writing(view: Path) -> Iterator[Writer]:
    writer = Writer(view)
    try:
        yield writer
    finally:
        writer.popen.send_signal(signal.SIGCONT)
        writer.popen.kill()
        writer.popen.wait(DEADLINE)
        writer.popen.stdout.close()


def prefix(path: Path) -> int:
    """The last batch in this shard, once it is seen that all before it are there, whole, and nothing else."""
    with closing(RocksStore(path, resources=RESOURCES)) as store:
        head = int(store.get(b"head") or b"-1")
        rows = [(key, value.split(b"\0", 1)[0][: len(b"%d" % head)]) for key, value in store.scan(b"row", b"rox")]
        assert [key for key, _ in rows] == [b"row%08d-%d" % (batch, row) for batch in range(head + 1) for row in range(ROWS)]
        assert all(value.startswith(b"%d" % int(key[3:11])) for key, value in rows)
        moving = [key for key, _ in store.scan(b"moving", b"movinh")]
        assert moving == [b"moving%08d" % batch for batch in range(max(0, head - LIVE + 1), head + 1)]
        return head


@pytest.mark.slow
def test_a_clone_of_a_running_owner_and_of_a_stopped_one_is_a_prefix_of_what_was_written(tmp_path: Path) -> None:
    folder = ViewFolder(tmp_path)
    had = refused = 0
    with writing(tmp_path) as writer:
        writer.wait_for(300)
        # when: a false alarm
        while had < 20 and refused < 20:
            told = writer.told()
            try:
                generation = folder.succeed()
            except ViewError:
                refused += 1
                continue
            had += 1
            # then
            with closing(generation):
                for partition in (0, 1):
                    assert prefix(generation.shard_path(partition)) >= told, "something that was committed before is missing"
        assert had == 20, f"refused {refused} times"
        # when: it is stopped
        writer.popen.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, writer.popen.pid, os.WSTOPPED)
        told = writer.told()
        for _ in range(5):
            with closing(folder.succeed()) as generation:
                heads = {prefix(generation.shard_path(partition)) for partition in (0, 1)}
                # then
                assert min(heads) >= told
                assert max(heads) - min(heads) <= 1
        # when: it wakes up
        writer.popen.send_signal(signal.SIGCONT)
        writer.wait_for(told + 300)
    # then: no clone has harmed it
    told = max(heads)
    with closing(folder.open()) as generation:
        assert generation.number == 1
        assert prefix(generation.shard_path(0)) > told


def test_a_table_that_was_half_written_when_its_owner_was_stopped_is_neither_needed_nor_written_to(tmp_path: Path) -> None:
    # given: a shard with a table that its MANIFEST does not name, at a number that the next file may have
    with closing(RocksStore(tmp_path / "0", resources=RESOURCES)) as store:
        store.commit({b"a": b"1"})
        store._db.flush()
        store.commit({b"b": b"2"})
        numbers = [int("".join(filter(str.isdigit, entry.name)) or 0) for entry in (tmp_path / "0").iterdir()]
        half = [tmp_path / "0" / f"{number:06}.sst" for number in range(max(numbers) + 1, max(numbers) + 6)]
        for file in half:
            file.write_bytes(b"half" * 100)
        # when
        clone_shard(tmp_path / "0", tmp_path / "1")
        with closing(RocksStore(tmp_path / "1", resources=RESOURCES)) as other:
            other.commit({b"c": b"3"})
            other._db.flush()
            # then
            assert [key for key, _ in other.scan(b"", b"z")] == [b"a", b"b", b"c"]
        assert [file.read_bytes() for file in half] == [b"half" * 100] * 5
        assert [key for key, _ in store.scan(b"", b"z")] == [b"a", b"b"]


def test_what_changes_all_the_time_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(RocksStore(tmp_path / "0", resources=RESOURCES)) as store:
        store.commit({b"a": b"1"})
        copy = clone.shutil.copyfile

        def copy_and_flush(source: Path, target: Path) -> None:
            copy(source, target)
            store.commit({b"a": b"2"})
            store._db.flush()

        monkeypatch.setattr(clone, "ATTEMPTS", 5)
        monkeypatch.setattr(clone.shutil, "copyfile", copy_and_flush)
        with pytest.raises(ViewError, match="changed 5 times"):
            clone_shard(tmp_path / "0", tmp_path / "1")


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST"])
def test_what_is_no_shard_is_refused(tmp_path: Path, name: str) -> None:
    RocksStore(tmp_path / "0", resources=RESOURCES).close()
    for file in (tmp_path / "0").glob(f"{name}*"):
        file.unlink()
    with pytest.raises(ViewCorrupt, match="holds no shard that can be cloned"):
        clone_shard(tmp_path / "0", tmp_path / "1")


def test_there_is_nothing_to_succeed_where_there_is_no_view(tmp_path: Path) -> None:
    with pytest.raises(ViewError, match="no generation 0"):
        ViewFolder(tmp_path).succeed()
    ViewFolder(tmp_path).next().close()  # and the way to an empty one is free
