"""Two projectors beside one, each held to a core."""

from __future__ import annotations

import os
from collections.abc import Iterator

from benchmarks import scaleout
from benchmarks.bench import Bench


def scale(bench: Bench) -> Iterator[tuple[str, float]]:
    """Four partitions, in a consumer group; on two cores the broker takes its share of both."""
    one, two, *others = sorted(os.sched_getaffinity(0))
    cores = others or [one, two]
    broker = scaleout.broker_of_ours() if bench.kafka else 0
    cases = [scaleout.Case("one", [one], cores), scaleout.Case("two", [one, two], cores)]
    try:
        alone, both = (scaleout.fold(bench.kafka, case, bench.records, broker, partitions=4) for case in cases)
    finally:
        scaleout.hold(broker, sorted(os.sched_getaffinity(0)))
    yield "two projectors, four partitions, events/s", both.rate
    yield "two projectors ÷ one, four partitions", both.rate / alone.rate
    each = (seen.rate / sum(seen.members) for seen in (both, alone))
    yield "two projectors ÷ one, per CPU second of theirs", next(each) / next(each)
