"""The work that is measured: tasks of three events (sent, started, succeeded) of about 300 bytes each, some 1,000 tasks in flight."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import uuid_utils

from eventresults.codec.events import encode_fields
from eventresults.log.base import Log

IN_FLIGHT = 1_000
SOURCE = "bench@host-17.example/4242"


class Fact(NamedTuple):
    """One event, ready to be sent."""

    task_id: str
    kind: str
    fields: dict[str, Any]

    @property
    def value(self) -> bytes:
        """Its bytes."""
        return encode_fields(self.kind, self.fields)


def facts(tasks: int) -> Iterator[Fact]:
    """The facts of so many tasks, interleaved as a busy pool writes them."""
    window = [uuid_utils.uuid7().hex for _ in range(tasks)]
    steps = (_sent, _started, _succeeded)
    for start in range(0, tasks, IN_FLIGHT):
        ids = window[start : start + IN_FLIGHT]
        for step, task_id in itertools.product(steps, ids):
            yield step(task_id)


def fill(log: Log, work: Iterable[Fact]) -> None:
    """Append this work, and wait until the log has all of it."""
    writer = log.writer()
    last = None
    for fact in work:
        last = writer.append(fact.task_id.encode(), fact.value)
    assert last is not None
    last.result(timeout=120)
    assert writer.flush(120)
    writer.close()


def _fact(task_id: str, kind: str, **fields: Any) -> Fact:
    envelope = {"event_id": uuid_utils.uuid7().hex, "task_id": task_id, "time": datetime.now(UTC), "source": SOURCE}
    return Fact(task_id, kind, envelope | fields)


def _sent(task_id: str) -> Fact:
    return _fact(
        task_id,
        "task-sent",
        name="shop.orders.charge",
        args=["order-817", 1999],
        kwargs={"currency": "EUR"},
        queue="payments",
        root_id=task_id,
        retries=0,
    )


def _started(task_id: str) -> Fact:
    return _fact(task_id, "task-started", worker="payments@host-17.example/4242", pid=4242, attempt=1)


def _succeeded(task_id: str) -> Fact:
    return _fact(
        task_id,
        "task-succeeded",
        result={"charged": 1999, "receipt": "r-9917263"},
        runtime=0.0123,
        worker="payments@host-17.example/4242",
        result_expires=604800.0,
    )
