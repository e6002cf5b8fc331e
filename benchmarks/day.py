"""A day of a busy shop, made up but plausible: `python -m benchmarks.day sqlite:///day.db --events 1000000`.

Twelve kinds of task with runtimes of their own, three queues, forty workers of which one is slow, a morning and an evening peak, retries,
failures with tracebacks, revoked tasks, chains, groups, workers that die. The same seed makes the same day.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import Any, NamedTuple

from eventresults.codec.events import encode_fields

BEGIN = datetime(2026, 11, 27, tzinfo=UTC)
DAY = 86_400.0


class Kind(NamedTuple):
    """One kind of task."""

    name: str
    queue: str
    weight: int
    median: float
    fails: float = 0.002
    retries: float = 0.005


KINDS = (
    Kind("shop.orders.charge", "payments", 22, 0.18, 0.004, 0.02),
    Kind("shop.orders.confirm", "mail", 20, 0.05),
    Kind("shop.search.index", "default", 18, 0.02),
    Kind("shop.images.resize", "default", 12, 0.9, 0.001),
    Kind("shop.carts.expire", "default", 10, 0.01),
    Kind("shop.stock.sync", "default", 6, 1.5, 0.003, 0.03),
    Kind("shop.mail.newsletter", "mail", 5, 0.12),
    Kind("shop.reports.daily", "reports", 2, 25.0, 0.02),
    Kind("shop.exports.ledger", "reports", 1, 90.0, 0.01),
    Kind("shop.fraud.score", "payments", 2, 0.4, 0.01),
    Kind("shop.sessions.sweep", "default", 1, 0.3),
    Kind("shop.recommendations.train", "reports", 1, 240.0, 0.05),
)
ERRORS = (
    ("TimeoutError", "builtins", "no answer from {host} within 30 s", "gateway.py", "call"),
    ("ConnectionResetError", "builtins", "[Errno 104] Connection reset by peer", "gateway.py", "send"),
    ("KeyError", "builtins", "'sku-{number}'", "stock.py", "reserve"),
    ("ValueError", "builtins", "amount {number} is out of range", "charge.py", "validate"),
    ("CardDeclined", "shop.payments", "card ending {number} was declined", "charge.py", "capture"),
)


class Fact(NamedTuple):
    """One record, and when it is written, in seconds of the day."""

    at: float
    task_id: str
    value: bytes


def facts(events: int, *, seed: int = 0) -> Iterator[Fact]:
    """About so many facts (rather more: every task is told to its end), in the order of their time."""
    day = Day(seed)
    made = 0
    waiting: list[tuple[float, int, Fact]] = []
    numbers = count()
    tasks = max(events * 10 // 31, 1)
    for at in sorted(day.moment() for _ in range(tasks)):
        while waiting and waiting[0][0] <= at:
            yield heappop(waiting)[2]
            made += 1
        for fact in day.task(at):
            heappush(waiting, (fact.at, next(numbers), fact))
    while waiting:
        yield heappop(waiting)[2]


class Day:
    """Makes tasks."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._workers = [f"worker-{number:02}@host-{number % 8}" for number in range(40)]
        self._weights = [kind.weight for kind in KINDS]

    def moment(self) -> float:
        """When a task is sent: mostly in one of the two peaks."""
        pick = self._random.random()
        if pick < 0.25:
            return self._random.random() * DAY
        return min(max(self._random.gauss(10.5 if pick < 0.6 else 19.5, 2.2) * 3600, 0.0), DAY - 1)

    def task(self, at: float) -> Iterator[Fact]:
        """The facts of one task."""
        pick = self._random
        kind = pick.choices(KINDS, self._weights)[0]
        task_id = self._id(at)
        order = pick.randrange(10_000_000)
        sent: dict[str, Any] = {"name": kind.name, "args": [f"order-{order}"], "kwargs": {"currency": pick.choice(("EUR", "USD", "GBP"))}}
        sent |= {"queue": kind.queue, "root_id": task_id, "retries": 0}
        if pick.random() < 0.1:
            sent["parent_id"] = self._id(at - 1)
        yield self._fact(at, "task-sent", task_id, "api@web-1/17", sent)
        if pick.random() < 0.001:
            yield self._fact(at + 2, "task-revoked", task_id, "api@web-1/17", {"reason": "the order was cancelled"})
            return
        now = at + pick.expovariate(2.0) * (8 if kind.queue == "reports" else 1)
        for attempt in range(1, 5):
            number = pick.randrange(40)
            worker = self._workers[number]
            source = f"{worker}/{4000 + number}"
            yield self._fact(now, "task-started", task_id, source, {"worker": worker, "pid": 4000 + number, "attempt": attempt})
            runtime = round(pick.lognormvariate(0, 0.6) * kind.median * (3 if number == 13 else 1), 6)
            now += runtime
            if pick.random() < 0.0003:
                return  # the worker died, and nobody told
            if pick.random() < kind.retries and attempt < 4:
                yield self._fact(now, "task-retried", task_id, source, self._error())
                now += 2.0**attempt
                continue
            if pick.random() < kind.fails:
                failed = self._error() | {"runtime": runtime, "worker": worker, "result_expires": 604800.0}
                yield self._fact(now, "task-failed", task_id, source, failed)
                return
            result = {"order": order, "total": pick.randrange(100, 100_000) / 100, "receipt": f"r-{pick.getrandbits(48):012x}"}
            ended = {"result": result, "runtime": runtime, "worker": worker, "result_expires": 604800.0}
            yield self._fact(now, "task-succeeded", task_id, source, ended)
            if pick.random() < 0.0005:  # redelivered, and run again
                yield self._fact(now + 60, "task-started", task_id, source, {"worker": worker, "pid": 4000 + number, "attempt": attempt})
                yield self._fact(now + 60 + runtime, "task-succeeded", task_id, source, ended)
            return

    def _error(self) -> dict[str, Any]:
        kind, module, text, file, function = self._random.choice(ERRORS)
        message = text.format(host=f"10.0.0.{self._random.randrange(20)}", number=self._random.randrange(10_000))
        line = self._random.randrange(3)
        traceback = (
            "Traceback (most recent call last):\n"
            f'  File "/srv/shop/tasks.py", line {40 + line}, in run\n    return handler(*args)\n'
            f'  File "/srv/shop/{file}", line {120 + line}, in {function}\n    raise\n{kind}: {message}\n'
        )
        return {"error": {"type": kind, "module": module, "message": message, "args": [message]}, "traceback": traceback}

    def _id(self, at: float) -> str:
        """A UUID of version 7, as `uuid7` would have made it at that time."""
        milliseconds = int((BEGIN.timestamp() + at) * 1000)
        bits = self._random.getrandbits
        return f"{milliseconds:012x}7{bits(12):03x}{0x8000 | bits(14):04x}{bits(48):012x}"

    def _fact(self, at: float, kind: str, task_id: str, source: str, fields: dict[str, Any]) -> Fact:
        time = BEGIN + timedelta(seconds=at)
        envelope = {"event_id": self._id(at), "task_id": task_id, "time": time, "source": source}
        return Fact(at, task_id, encode_fields(kind, envelope | fields))


def fill_sqlite(path: str, events: int, *, seed: int = 0) -> int:
    """Put a day into a new log in this file, its log times those of the day; the number of records."""
    from eventresults.log.sqlite import SqliteLog

    with closing(SqliteLog(path)) as log:
        log.info(10)
    begin = int(BEGIN.timestamp() * 1000)
    with closing(sqlite3.connect(path)) as database, database:
        if database.execute("SELECT count(*) FROM records").fetchone()[0]:
            raise SystemExit(f"{path} holds records already: give a new file")
        made = enumerate(facts(events, seed=seed))
        rows = ((offset, begin + int(fact.at * 1000), fact.task_id.encode(), fact.value) for offset, fact in made)
        database.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
        return int(database.execute("SELECT count(*) FROM records").fetchone()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="sqlite:///file.db, which must be new")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(f"{fill_sqlite(given.url.removeprefix('sqlite:///'), given.events, seed=given.seed):,} events in {given.url}")


if __name__ == "__main__":
    main()
