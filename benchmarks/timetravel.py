"""What the past, projections and replays cost, from a SQLite log: python -m benchmarks.timetravel [--tasks 100000] [--rounds 3]."""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import eventresults
from benchmarks.fold_sqlite import Cut
from benchmarks.machine import facts as machine_facts
from benchmarks.work import facts, fill
from eventresults import Position, TaskSucceeded
from eventresults.log.sqlite import SqliteLog
from eventresults.log.stretch import Stretch
from eventresults.projector import Lifetimes, Projector
from eventresults.replay.retelling import NewIds, same_ids
from eventresults.replay.run import run
from eventresults.replay.scratch import fold_stretch
from eventresults.replay.takers import Appending, Counting
from eventresults.replay.where import Where
from eventresults.service.shards import open_shards
from eventresults.view.live import LiveView
from eventresults.view.rocksdb import RocksStore

ASKED = 2_000


class Succeeded:
    """Counts by name what succeeded: one key."""

    name, version = "succeeded", 1

    def key(self, transition):
        return "all" if isinstance(transition.event, TaskSucceeded) else None

    def apply(self, state, _):
        return (state or 0) + 1

    def merge(self, one, other):
        return one + other


class Kinds:
    """The kinds of each task's facts: as many keys as tasks, and every fact changes one."""

    name, version = "kinds", 1

    def key(self, transition):
        return transition.event.subject

    def apply(self, state, transition):
        return [*(state or []), transition.event.kind]

    def merge(self, one, other):
        raise NotImplementedError


def row(what: str, figure: str, goal: str = "") -> None:
    """Print one."""
    print(f"{what:<72} {figure:>20}  {goal}", flush=True)


def timed(ask: Callable[[], object]) -> float:
    """Seconds."""
    begun = time.perf_counter()
    ask()
    return time.perf_counter() - begun


def fold(log: SqliteLog, folder: Path, projections) -> float:
    """Events per second, folded into an empty view on disk with these beside."""
    info = log.info(10)
    opened = open_shards(lambda partition: RocksStore(folder / str(partition)), info)
    view = LiveView(opened.shards, opened.positions)
    projector = Projector(Cut(log.reader(info.starts), 10_000), view, opened.heads, projections=projections)
    begun = time.perf_counter()
    while view.position(0) < info.ends[0]:
        projector.fold(projector.poll(1))
    seconds = time.perf_counter() - begun
    projector.close()
    view.close()
    return info.ends[0] / seconds


def past(url: str, tasks: int) -> None:
    """Reads of what was."""
    with eventresults.connect(url, read_timeout=600) as tracker:
        ids = [meta.task_id for meta in tracker.tasks(limit=ASKED)]
        end = tracker.log.info(10).ends[0]
        chosen = random.Random(7)
        for what, when in (
            ("at a time", lambda meta: datetime.fromtimestamp(meta.log_time / 1000, UTC)),
            ("before it was there", lambda meta: datetime.fromtimestamp((meta.born_at - 1) / 1000, UTC)),
            ("at a position", lambda meta: Position(0, chosen.randrange(meta.first_offset, end))),
        ):
            metas = tracker.read_many(ids)
            moments = [(one, when(metas[one])) for one in ids]
            times = sorted(timed(lambda one=one, at=at: tracker.past.task(one, at)) for one, at in moments)
            p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
            row(f"task {what}, from the view, in process: p50 (p99)", f"{p50 * 1e3:.3f} ms ({p99 * 1e3:.3f})", "p50 < 5 ms")
        row(f"state now, {tasks:,} tasks", f"{timed(lambda: tracker.past.state({0: end - 1})):.2f} s")
        row(
            "state at the middle of the log: half of them folded again or not there",
            f"{timed(lambda: tracker.past.state({0: end // 2})):.2f} s",
        )


def replays(log: SqliteLog, home: Path) -> None:
    """Telling the whole log again."""
    info = log.info(10)
    stretch, events = Stretch(info.starts, info.ends), info.ends[0]

    def into(name: str, retelling) -> None:
        target = SqliteLog(home / f"{name}.db")
        taker = Appending(target, retelling)
        run(log, stretch, Where(), taker)
        taker.close()
        target.close()

    def scratch() -> None:
        opened, _ = fold_stretch(
            log, info, stretch, Where(), lambda p: RocksStore(home / "scratch" / str(p)), lifetimes=Lifetimes(), projections=[Succeeded()]
        )
        opened.close()

    for what, ask in (
        ("replay: counted only", lambda: run(log, stretch, Where(), Counting())),
        ("replay: counted, a condition on the name", lambda: run(log, stretch, Where(["name~a*"]), Counting())),
        ("replay into another SQLite log, same ids", lambda: into("same", same_ids)),
        ("replay into another SQLite log, new ids", lambda: into("new", NewIds("run"))),
        ("replay into a scratch view, one projection", scratch),
    ):
        row(what, f"{events / timed(ask):,.0f} events/s")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for name, value in machine_facts().items():
        print(f"{name:<16} {value}")
    print()
    with tempfile.TemporaryDirectory(prefix="eventresults-bench-") as folder:
        home = Path(folder)
        log = SqliteLog(home / "log.db")
        fill(log, facts(options.tasks))
        beside = {"none": (), "one key": (Succeeded(),), "a key per task, every fact": (Kinds(),), "both": (Succeeded(), Kinds())}
        rates: dict[str, list[float]] = {name: [] for name in beside}
        for number in range(options.rounds):  # in turn, so that whatever else runs here concerns all
            for name, projections in beside.items():
                rates[name].append(fold(log, home / f"view-{number}-{name.replace(' ', '-')}", projections))
        for name, found in rates.items():
            row(f"fold, {3 * options.tasks:,} events, projections beside: {name}", f"{statistics.median(found):,.0f} events/s")
        past(f"sqlite:///{home}/log.db", options.tasks)
        replays(log, home)
        log.close()


if __name__ == "__main__":
    main()
