"""How fast a view is folded from a SQLite log: wall and processor time, and where it goes.

python -m benchmarks.fold_sqlite [--tasks 100000] [--rounds 3] [--poll 10000] [--profile] [--collect-often]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from pathlib import Path

from benchmarks.work import facts, fill
from eventresults.cli.entry import relax_collector
from eventresults.log.base import Poll
from eventresults.log.sqlite import SqliteLog
from eventresults.projector import Projector
from eventresults.service.shards import open_shards
from eventresults.view.live import LiveView
from eventresults.view.rocksdb import RocksStore


class Cut:
    """A reader whose polls are cut to so many records."""

    def __init__(self, reader, most: int) -> None:
        self._reader = reader
        self._most = most
        self._left: list = []

    def poll(self, timeout: float):
        if not self._left:
            self._left = list(self._reader.poll(timeout)[0].records)
        records, self._left = self._left[: self._most], self._left[self._most :]
        return {0: Poll(records, records[-1].offset + 1)}

    def close(self) -> None:
        self._reader.close()


def fold(log: SqliteLog, folder: Path, poll: int) -> tuple[float, float]:
    """Fold the whole log into an empty view on disk; events per second of wall time, and per second of this thread's own."""
    info = log.info(10)
    opened = open_shards(lambda partition: RocksStore(folder / str(partition)), info)
    view = LiveView(opened.shards, opened.positions)
    projector = Projector(Cut(log.reader(info.starts), poll), view, opened.heads)
    try:
        wall, thread = time.perf_counter(), time.thread_time()
        while view.position(0) < info.ends[0]:
            projector.fold(projector.poll(1))
        return info.ends[0] / (time.perf_counter() - wall), info.ends[0] / (time.thread_time() - thread)
    finally:
        projector.close()
        view.close()


def main() -> None:
    """Measure, and print a line per round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--poll", type=int, default=10_000)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--collect-often", action="store_true", help="look for garbage as often as CPython does by itself")
    options = parser.parse_args()
    if not options.collect_often:
        relax_collector()  # as `eventresults serve` does
    with tempfile.TemporaryDirectory() as folder:
        log = SqliteLog(Path(folder) / "log.db")
        fill(log, facts(options.tasks))
        print(f"{3 * options.tasks:,} events, polls of {options.poll:,}")
        profile = cProfile.Profile()
        for number in range(options.rounds):
            if options.profile:
                profile.enable()
            wall, thread = fold(log, Path(folder) / f"view{number}", options.poll)
            profile.disable()
            print(f"{wall:>10,.0f} events/s, {thread:>10,.0f} per second of the projecting thread")
        if options.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        log.close()


if __name__ == "__main__":
    main()
