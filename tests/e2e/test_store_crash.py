"""A process that is killed in the middle of its commits leaves whole batches behind, and all that it had finished."""

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

from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore

DEADLINE = 30.0
ROUNDS = 10
ROWS = 10  # of one batch, each of its own size
LIVE = 3  # a batch deletes the moving row of the one this many before it

WRITER = """
import os, sys
from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore
ROWS, LIVE = int(sys.argv[2]), int(sys.argv[3])
store = RocksStore(sys.argv[1], resources=RocksResources(block_cache=4 * MEGABYTE, write_buffers=MEGABYTE))
number = int(store.get(b"head") or b"-1") + 1
while True:
    puts = {b"row%08d-%d" % (number, row): b"%d" % number * (50 * row + 1) for row in range(ROWS)}
    puts[b"moving%08d" % number] = b""
    puts[b"head"] = b"%d" % number
    store.commit(puts, [b"moving%08d" % (number - LIVE)])
    os.write(1, b"%d\\n" % number)
    number += 1
"""


def run_and_kill(path: Path, chance: random.Random) -> int:
    """Let a writer go on from where the last one ended, kill it at some moment; the last number that it had printed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(ROWS), str(LIVE)], stdout=subprocess.PIPE, env=environment
    ) as writer:
        try:
            printed = b""
            enough = chance.randrange(1, 8_000)
            moment = time.monotonic() + DEADLINE
            while len(printed) < enough:
                assert select.select([writer.stdout], [], [], max(0, moment - time.monotonic()))[0], "the writer is silent"
                read = os.read(writer.stdout.fileno(), 4096)
                assert read, "the writer ended by itself"
                printed += read
            time.sleep(chance.random() / 1000)  # anywhere within a commit, not just behind a print
        finally:
            writer.kill()
        printed += writer.stdout.read()
        writer.wait(DEADLINE)
    return int(printed[: printed.rindex(b"\n")].split(b"\n")[-1])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_kill_9_leaves_every_finished_batch_whole_and_nothing_of_an_unfinished_one(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    resources = RocksResources(block_cache=4 * MEGABYTE, write_buffers=MEGABYTE)
    head = -1
    for _ in range(ROUNDS):
        # when
        printed = run_and_kill(tmp_path / "0", chance)
        # then
        with closing(RocksStore(tmp_path / "0", resources=resources)) as store:
            before, head = head, int(store.get(b"head") or b"-1")
            assert head >= printed > before
            expected = ((b"row%08d-%d" % (batch, row), b"%d" % batch * (50 * row + 1)) for batch in range(head + 1) for row in range(ROWS))
            for found, wanted in zip(store.scan(b"row", b"rox"), expected, strict=True):
                assert found == wanted
            moving = [key for key, _ in store.scan(b"moving", b"movinh")]
            assert moving == [b"moving%08d" % batch for batch in range(max(0, head - LIVE + 1), head + 1)]
