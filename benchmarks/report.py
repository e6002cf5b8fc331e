"""What a run found, as text: `lines` for the terminal, `write` for `benchmarks/RESULTS.md`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Figure, Figures, shown
from benchmarks.goals import GOALS
from benchmarks.peers.contestants import CONFLUENT, OURS
from benchmarks.peers.folds import Folds

RESULTS = Path(__file__).with_name("RESULTS.md")
CHART = Path(__file__).with_name("results.svg")
RATE, PER_CPU, PEAK = attrgetter("rate"), attrgetter("rate_per_cpu"), attrgetter("peak_mib")


class Run(NamedTuple):
    """One run."""

    facts: Mapping[str, str]
    tasks: int
    rounds: int
    figures: Figures
    folds: Folds


def lines(figures: Figures) -> Iterator[str]:
    """Each figure beside its goal."""
    for figure in figures:
        yield f"{figure.name:<72} {figure!s:>12}  {figure.goal or ''!s:<12} {figure.verdict}"
    for what, why in figures.missing.items():
        yield f"not measured: {what}: {why}"


def write(run: Run, path: Path = RESULTS) -> None:
    """The report, in place of the one before."""
    path.write_text("\n".join(_document(run, datetime.now(UTC))) + "\n", "utf-8")


def _document(run: Run, when: datetime) -> Iterator[str]:
    yield "# Results\n"
    rounds = (
        "one round" if run.rounds == 1 else f"{run.rounds} rounds, everything in turn; medians, and from the least to the most in brackets"
    )
    yield f"By `make bench` on {when:%Y-%m-%d}: {rounds}."
    yield "Whatever else ran on the machine meanwhile took from all: compare ratios rather than figures.\n"
    yield "| | |\n|---|---|"
    for name, value in run.facts.items():
        yield f"| {name} | {value} |"
    yield from _goals(run.figures)
    yield from _folds(run)
    yield from _others(run.figures)
    if run.figures.missing:
        yield "\n## Not measured\n"
        for what, why in run.figures.missing.items():
            yield f"- {what}: {why}"


def _goals(figures: Figures) -> Iterator[str]:
    yield "\n## What is to be reached\n"
    yield "| what | figure | goal | |\n|---|---:|---:|---|"
    for name, goal in GOALS.items():
        if name in figures:
            figure = figures[name]
            yield f"| {name} | {_told(figure)} | {goal} | {figure.verdict} |"
        else:
            yield f"| {name} | not measured | {goal} | |"


def _folds(run: Run) -> Iterator[str]:
    folds = run.folds
    if not folds.answers:
        return
    yield "\n## The same fold by all\n"
    yield f"{run.tasks:,} tasks × 3 events from a real Apache Kafka into an empty state, from the first event folded to the last one"
    yield "durable; each in a process of its own. Peers keep the latest of each field; ours also validates each event, keeps each task's"
    yield "history and indexes, and judges lives and repetitions."
    dissenters = [f"{name} ({partitions})" for name, partitions in folds.dissenters()]
    if dissenters:
        yield f"**Another final state than most came to, so that their figures are worth nothing (partitions): {', '.join(dissenters)}.**\n"
    else:
        yield "All came to the same final state.\n"
    if CHART.exists():
        yield f"![Events per second of all contestants]({CHART.name})\n"
    for partitions in sorted({partitions for _, partitions in folds.answers}):
        what = "one partition" if partitions == 1 else f"{partitions} partitions"
        yield f"| {what} | events/s | per CPU second | ours (confluent) is | … per CPU second | peak memory, MiB |"
        yield "|---|---:|---:|---:|---:|---:|"
        names = [name for name, number in folds.answers if number == partitions]
        for name in names:
            rate, per_cpu, peak = (folds.median(name, partitions, of) for of in (RATE, PER_CPU, PEAK))
            by_clock = by_processor = ""
            if CONFLUENT.name in names and name not in {one.name for one in OURS}:
                by_clock = f"{folds.median(CONFLUENT.name, partitions, RATE) / rate:.2f} ×"
                by_processor = f"{folds.median(CONFLUENT.name, partitions, PER_CPU) / per_cpu:.2f} ×"
            yield f"| {name} | {shown(rate)} | {shown(per_cpu)} | {by_clock} | {by_processor} | {shown(peak)} |"
        yield ""


def _others(figures: Figures) -> Iterator[str]:
    others = [figure for figure in figures if figure.goal is None]
    if others:
        yield "## Other figures\n"
        yield "| what | figure |\n|---|---:|"
        for figure in others:
            yield f"| {figure.name} | {_told(figure)} |"


def _told(figure: Figure) -> str:
    if len(figure.rounds) == 1:
        return str(figure)
    return f"{figure} ({shown(min(figure.rounds))} to {shown(max(figure.rounds))})"
