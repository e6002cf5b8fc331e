"""`python -m benchmarks [--quick] [--tasks N] [--rounds N] [--only WORD]`: print the machine's facts, and each figure beside its goal.

Everything is measured in turn, so that whatever else the machine does falls upon all alike; figures are medians of the rounds. The
full run also lets our peers fold the same topics, and writes `benchmarks/RESULTS.md` with its chart. Quick: ours alone, one round.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable, Iterable, Sequence

from benchmarks import chart, report
from benchmarks.bench import Bench
from benchmarks.figures import Figures
from benchmarks.machine import facts as machine_facts
from benchmarks.peers.contestants import OURS, PEERS
from benchmarks.peers.folds import Race
from benchmarks.sections.appending import appending, appending_embedded
from benchmarks.sections.auditing import auditing
from benchmarks.sections.elsewhere import elsewhere
from benchmarks.sections.embedded import embedded
from benchmarks.sections.grown import grown
from benchmarks.sections.latency import latency, latency_embedded
from benchmarks.sections.pending import pending
from benchmarks.sections.scale import scale
from benchmarks.sections.startup import startup

Section = Callable[[Bench], Iterable[tuple[str, float]]]
#: What `--only` chooses from, beside "fold".
QUICK: dict[str, Section] = {
    "startup": startup,
    "embedded": embedded,
    "append": appending,
    "append-embedded": appending_embedded,
    "latency": latency,
    "latency-embedded": latency_embedded,
    "elsewhere": elsewhere,
    "audit": auditing,
    "pending": pending(50_000),
}
FULL: dict[str, Section] = {name: section for name, section in QUICK.items() if name != "pending"} | {"scale": scale}
#: Too long for every round: with the last one.
ONCE: dict[str, Section] = {"pending": pending(1_000_000), "grown": grown(1_000_000)}


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ours alone, a third of the work, one round: no report")
    parser.add_argument("--tasks", type=int, help="tasks of three events each (100,000; quick: 33,000)")
    parser.add_argument("--rounds", type=int, help="how often (3; quick: 1)")
    parser.add_argument("--only", action="append", choices=["fold", *FULL, *ONCE], help="not the rest; may be repeated; no report")
    options = parser.parse_args()
    tasks = options.tasks or (33_000 if options.quick else 100_000)
    rounds = options.rounds or (1 if options.quick else 3)
    facts = machine_facts()
    for name, value in facts.items():
        print(f"{name:<16} {value}")
    print()
    begun = time.monotonic()
    with Bench(tasks) as bench:
        figures = Figures()
        if shutil.which("redis-server") is None:
            figures.miss("Celery + Redis", "there is no redis-server here: install your system's package of that name")
        race = Race(bench, OURS if options.quick else (*OURS, *PEERS), (1,) if options.quick else (1, 4), figures)
        sections = QUICK if options.quick else FULL
        try:
            for number in range(rounds):
                print(f"round {number + 1} of {rounds}", flush=True)
                run(bench, figures, race, sections | ONCE if number == rounds - 1 and not options.quick else sections, options.only)
        except KeyboardInterrupt:
            figures.miss("the rest", "the run was interrupted")
    print(f"\nafter {time.monotonic() - begun:,.0f} s:")
    print("\n".join(report.lines(figures)))
    if not options.quick and not options.only:
        chart.draw(race.folds, figures)
        report.write(report.Run(facts, tasks, rounds, figures, race.folds))


def run(bench: Bench, figures: Figures, race: Race, sections: dict[str, Section], only: Sequence[str] | None) -> None:
    """One round."""
    if only is None or "fold" in only:
        race.round()
    for name, section in sections.items():
        if only is None or name in only:
            figures.measure(name, lambda section=section: section(bench))


if __name__ == "__main__":
    main()
