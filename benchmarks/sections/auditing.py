"""What the notary signs a second, and what an auditor verifies."""

from __future__ import annotations

from collections.abc import Iterator

import eventresults
from benchmarks import audit
from benchmarks.bench import Bench, folder
from benchmarks.work import facts, fill


def auditing(bench: Bench) -> Iterator[tuple[str, float]]:
    """Of a SQLite log."""
    with folder() as home, eventresults.connect(f"sqlite:///{home}/events.db") as tracker:
        fill(tracker.log, facts(bench.tasks))
        signed, verified = audit.sign_and_verify(tracker.log, home)
    yield "signed by the notary, SQLite, events/s", signed
    yield "verified against the signed checkpoints, SQLite, events/s", verified
