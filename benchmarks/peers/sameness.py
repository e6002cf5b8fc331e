"""The same work for all: what a peer's row of a task holds, and the checksum of all rows.

Peers keep the latest of each field, which is all that a stream processor's aggregate does for this work. Ours does more for the same
events (it validates them, keeps each task's history and indexes, and judges lives and repetitions); the checksum is of what both have.
Runs in every peer's environment, so it needs nothing but the standard library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

STATES = {"task-sent": "PENDING", "task-started": "STARTED", "task-succeeded": "SUCCESS"}
TIMES = {"task-sent": "sent_at", "task-started": "started_at", "task-succeeded": "date_done"}
KEPT = ("task_id", "name", "args", "kwargs", "queue", "worker", "pid", "attempt", "retries", "result", "runtime")
SUMMED = ("task_id", "state", "name", "queue", "worker", "sent_at", "started_at", "date_done")


def step(row: dict[str, Any] | None, event: Mapping[str, Any]) -> dict[str, Any]:
    """One event folded into a row, in place; None: the task's first."""
    row = {} if row is None else row
    kind = event["kind"]
    for name in KEPT:
        value = event.get(name)
        if value is not None:
            row[name] = value
    row["state"] = STATES[kind]
    row[TIMES[kind]] = event["time"]
    return row


def checksum(rows: Iterable[Mapping[str, Any]]) -> str:
    """Of all rows, whatever their order: the sum of 64 bits of each row's SHA-256."""
    total = 0
    for row in rows:
        parts = [_text(row.get(name)) for name in SUMMED]
        parts.append(str((row.get("result") or {}).get("receipt", "-")))
        total += int.from_bytes(hashlib.sha256("\t".join(parts).encode()).digest()[:8], "big")
    return f"{total % 2**64:016x}"


def _text(value: str | None) -> str:
    if value is None:
        return "-"
    # A whole second is written without a fraction.
    return f"{value[:-1]}.000000Z" if len(value) == 20 and value[10] == "T" and value[-1] == "Z" else value
