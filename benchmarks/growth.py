"""`python -m benchmarks.growth [--tasks N] [--folder DIR]`: what a view costs once it holds so many tasks, beside one of 100,000.

On a SQLite log, in this process alone, so that its memory is the view's and the reader's. The small view and the grown one are
measured minutes apart, when other things may run: so costs are seconds of the processor; those of the clock stand beside. What RocksDB
merges in the background counts as the fold's, which for the grown view is a mean of five; reads begin when it is done. Ten million tasks
take some 20 GB of disk and twenty minutes.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import eventresults
from benchmarks.sections.embedded import PATIENCE_SECONDS, states
from benchmarks.work import facts, fill
from eventresults import bootstrap
from eventresults.config import load_settings

STEP = 100_000
#: So many steps are folded into the grown view for one cost: what RocksDB merges in the background comes once in a few.
STEPS = 5
LATEST, SAMPLED, READ = 50_000, 2_000, 20_000
COMPARED = (
    "fold of the last 100,000 tasks: cost, grown view ÷ small",
    "state of the latest 50,000 tasks: cost, grown view ÷ small",
    "state of a random task: cost, grown view ÷ small",
)


class Cost(NamedTuple):
    """Seconds."""

    wall: float
    cpu: float

    @classmethod
    def so_far(cls) -> Self:
        """Of this process, since some moment."""
        return cls(time.perf_counter(), time.process_time())

    def since(self, before: Cost) -> Cost:
        """What it took from then to now."""
        return Cost(self.wall - before.wall, self.cpu - before.cpu)


class Costs(NamedTuple):
    """Of the same work on a view of either size; and the memory of the process."""

    fold: Cost
    latest: Cost
    anyone: Cost
    resident_mib: float


class Growing:
    """A log that is filled step by step, and a view that follows."""

    def __init__(self, home: Path) -> None:
        self._url = f"sqlite:///{home}/events.db"
        self._random = random.Random(0)
        self._latest: list[str] = []
        self._sample: list[str] = []
        self._log = bootstrap.make_log(load_settings(self._url))

    def grow(self, tasks: int) -> None:
        """Append so many tasks; nobody folds meanwhile."""
        for start in range(0, tasks, STEP):
            work = list(facts(min(STEP, tasks - start)))
            fill(self._log, work)
            ids = list(dict.fromkeys(fact.task_id for fact in work))
            self._latest = [*self._latest, *ids][-LATEST:]
            self._sample += self._random.sample(ids, min(SAMPLED, len(ids)))

    def fold(self) -> None:
        """Fold all that there is."""
        with eventresults.connect(self._url, read_timeout=3_600) as tracker:
            tracker.read("no such task")

    def measure(self, steps: int) -> Costs:
        """Of a step of tasks, the mean of so many that are appended and folded now, and of reads."""
        folded = []
        for _ in range(steps):
            self.grow(STEP)
            begun = Cost.so_far()
            tracker = eventresults.connect(self._url, read_timeout=PATIENCE_SECONDS)
            tracker.read("no such task")
            folded.append(Cost.so_far().since(begun))
            if len(folded) < steps:
                tracker.close()
        with tracker:
            _come_to_rest()
            anyone = self._random.choices(self._sample, k=READ)
            mean = Cost(*(statistics.fmean(costs) for costs in zip(*folded, strict=True)))
            return Costs(mean, _cost(tracker, self._latest), _cost(tracker, anyone), _resident_mib())


def _cost(tracker: eventresults.Tracker, ids: Sequence[str]) -> Cost:
    begun = Cost.so_far()
    states(tracker, ids)
    return Cost.so_far().since(begun)


def _come_to_rest() -> None:
    """Wait until nothing is done in the background, a minute at most."""
    for _ in range(60):
        before = time.process_time()
        time.sleep(1.0)
        if time.process_time() - before < 0.05:
            return


def _resident_mib() -> float:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def main() -> None:
    """Measure; a line for each figure, its name and it parted by a tab."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where there is room (the system's folder for temporary files)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="eventresults-bench-", dir=options.folder) as home:
        growing = Growing(Path(home))
        small = growing.measure(1)
        growing.grow(options.tasks - (1 + STEPS) * STEP)
        growing.fold()
        grown = growing.measure(STEPS)
    for name, before, after in zip(COMPARED, small[:3], grown[:3], strict=True):
        print(f"{name}\t{after.cpu / before.cpu}\n{name}, by the clock\t{after.wall / before.wall}")
    for name, figure in {
        "tasks in the grown view": float(options.tasks),
        "resident memory beside the small view, MiB": small.resident_mib,
        "resident memory beside the grown view, MiB": grown.resident_mib,
    }.items():
        print(f"{name}\t{figure}", flush=True)


if __name__ == "__main__":
    main()
