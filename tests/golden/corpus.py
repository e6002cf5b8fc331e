"""What the golden corpus holds: one event of each kind, bare and whole, and one result for each rule of the values' table.

`v1.jsonl` next to this file holds the bytes that version 1 wrote for them. Lines are added, never changed: logs full of such bytes exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import BaseModel

from eventresults.codec.errors import encode_error
from eventresults.codec.values import Opaque, encode_value
from eventresults.domain.events import (
    DataErased,
    Event,
    GroupDispatched,
    GroupDispatching,
    GroupForgotten,
    GroupPart,
    GroupSaved,
    GroupSized,
    TaskFailed,
    TaskForgotten,
    TaskReceived,
    TaskRejected,
    TaskRetried,
    TaskRevoked,
    TaskRevokeRequested,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
    TaskUpdated,
)


class Colour(Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: int


@dataclass(frozen=True)
class Invoice:
    number: int
    total: Decimal


class Customer(BaseModel):
    name: str
    since: date


TIME = datetime(2026, 11, 22, 20, 44, 56, 123456, tzinfo=UTC)
LATER = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
TASK: dict[str, Any] = {"event_id": "019356a0c1d07b6e8f0102030405060f", "task_id": "task-1", "time": TIME, "source": "worker@host/4711"}
GROUP: dict[str, Any] = {"event_id": "019356a0c1d07b6e8f0102030405060f", "group_id": "group-1", "time": TIME, "source": "worker@host/4711"}
TREE = [[["task-2", None], None]]
REQUEST = {"name": "shop.bill", "args": [1], "hostname": "worker@host", "stamps": {"tenant": "blue"}}
ERROR = encode_error(ValueError("no such order", 42))

EVENTS: dict[str, Event] = {
    "sent, bare": TaskSent(task_id="task-1", time=TIME),
    "sent": TaskSent(
        **TASK,
        name="shop.bill",
        args=[1, {"$type": "tuple", "value": [2, 3]}],
        kwargs={"currency": "EUR"},
        queue="celery",
        parent_id="task-0",
        previous_id="task-00",
        root_id="task-000",
        group_id="group-1",
        group_index=0,
        eta=LATER,
        expires=LATER,
        retries=0,
        ignore_result=False,
    ),
    "sent, as a repetition": TaskSent(**TASK, name="shop.bill", replay_of="task-0"),
    "sent, observed": TaskSent(**TASK, observed=True),
    "sent, another script": TaskSent(**(TASK | {"task_id": "Aufgabe-ß-任務-🐘"}), name="läden.rechnung"),
    "received": TaskReceived(**TASK, worker="worker@host"),
    "started": TaskStarted(**TASK, worker="worker@host", pid=4711, attempt=1),
    "updated": TaskUpdated(**TASK, state="PROGRESS", meta={"done": 3, "of": 10}),
    "succeeded": TaskSucceeded(**TASK, result={"rows": 1234}, children=TREE, runtime=0.25, worker="worker@host", result_expires=86400),
    "succeeded, bare": TaskSucceeded(task_id="task-1", time=LATER),
    "failed": TaskFailed(**TASK, error=ERROR, traceback="Traceback …\n", children=[], runtime=1.5, worker="worker@host", result_expires=0),
    "retried": TaskRetried(**TASK, error=ERROR, traceback="Traceback …\n", when=LATER),
    "revoked": TaskRevoked(**TASK, reason="asked", terminated=True, signal="SIGTERM", result_expires=60),
    "started, with its request": TaskStarted(**TASK, request=REQUEST),
    "updated, with its request": TaskUpdated(**TASK, state="PROGRESS", request=REQUEST),
    "succeeded, with its request": TaskSucceeded(**TASK, request=REQUEST),
    "failed, with its request": TaskFailed(**TASK, error=ERROR, request=REQUEST),
    "retried, with its request": TaskRetried(**TASK, error=ERROR, request=REQUEST),
    "revoked, with its request": TaskRevoked(**TASK, error=ERROR, request=REQUEST),
    "rejected": TaskRejected(**TASK, requeue=False),
    "revoke requested": TaskRevokeRequested(**TASK, terminate=True, signal="SIGKILL", reason="too late", by="ops@host"),
    "revoke requested, by stamps": TaskRevokeRequested(**TASK, stamps={"tenant": ["blue", 7]}),
    "forgotten": TaskForgotten(**TASK, reason="read"),
    "data erased": DataErased(**TASK, key_id="0123456789abcdef0123456789abcdef", reason="asked", by="ops@host"),
    "group saved": GroupSaved(**GROUP, results=[["group-1", None], [[["task-1", None], None]]], result_expires=60),
    "group sized": GroupSized(**GROUP, size=2, body={"task": "shop.sum"}, structure=[1, 1], result_expires=60),
    "group sized: begun": GroupSized(**GROUP, body={"task": "shop.sum"}, structure=[1, 1], result_expires=60),
    "group sized: joined": GroupSized(**GROUP, added="task-2", result_expires=60),
    "group part": GroupPart(**GROUP, task_id="task-1", group_index=0, state="SUCCESS", result=3, result_expires=60),
    "group dispatching": GroupDispatching(**GROUP, by="worker@host/4711", body_id="task-9", until=LATER, result_expires=60),
    "group dispatched": GroupDispatched(**GROUP, body_id="task-9", result_expires=60),
    "group forgotten": GroupForgotten(**GROUP),
}

VALUES: dict[str, Any] = {
    "none": None,
    "flags": [True, False],
    "integers at the edge": [2**63 - 1, -(2**63)],
    "integers of 70 bits": [2**70, -(2**70)],
    "floats": [0.1, -0.0, 1e300, 5e-324],
    "not a number": float("nan"),
    "infinities": [float("inf"), float("-inf")],
    "texts": ["", "\x00", "ß", "🐘", '"\\\n\u2028'],
    "lone surrogate": "caf\udce9",
    "bytes": [b"", b"\x00\xff", bytearray(b"a"), memoryview(b"b")],
    "tuple": (1, (2,), ()),
    "named tuple": Point(1, 2),
    "set": {7},
    "frozenset": frozenset({"a"}),
    "dict": {"a": {"b": {}}},
    "dict with other keys": {1: "a", (2, 3): "b", None: "c"},
    "dict with a lone surrogate as key": {"\udce9": 1},
    "dict like a tag": {"$type": "tuple", "value": []},
    "dict like an envelope": {"content_type": "a", "encoding": "b", "body": "c"},
    "datetime, UTC": TIME,
    "datetime, naive": datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001
    "datetime, offset": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    "date": date(2026, 1, 2),
    "time": time(3, 4, 5, 6),
    "timedelta": timedelta(days=-1, seconds=2, microseconds=3),
    "decimal": [Decimal("1.10"), Decimal("-Infinity")],
    "uuid": UUID("12345678-1234-5678-1234-567812345678"),
    "enum": Colour.RED,
    "dataclass": Invoice(1, Decimal("9.99")),
    "pydantic model": Customer(name="Ada", since=date(1815, 12, 10)),
    "opaque": Opaque("application/x-python-serialize", "base64", "gASVAA=="),
}


def events() -> dict[str, Event]:
    """All of them, by name."""
    return EVENTS | {f"value: {name}": TaskSucceeded(**TASK, result=encode_value(value)) for name, value in VALUES.items()}
