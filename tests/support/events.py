"""Builders of facts: `sent()`, `started(second=3, worker="w2")`… Each call makes a new fact with an event id of its own.

`second` places the fact's own time, in seconds after `EPOCH`; the other fields are the event's. `fold` tells a task's facts in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

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
    UnknownEvent,
)
from eventresults.domain.fold import TaskKind, apply
from eventresults.domain.groups import GroupKind, apply_group
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position

TASK = "task-1"
GROUP = "group-1"
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
#: Log time of offset 0 in `fold` and `fold_group`; one millisecond passes per record.
LOG_EPOCH = 1_767_225_600_000
ERROR = {"type": "ValueError", "module": "builtins", "message": "no", "args": ["no"]}

_ids = count(1)
E = TypeVar("E", bound=Event)


def moment(second: float) -> datetime:
    """A writer's clock, `second` seconds after `EPOCH`."""
    return EPOCH + timedelta(seconds=second)


def _make(cls: type[E], second: float, fields: dict[str, Any]) -> E:
    return cls(**{"event_id": f"{next(_ids):032x}", "time": moment(second), **fields})


def _task(cls: type[E], second: float, fields: dict[str, Any]) -> E:
    return _make(cls, second, {"task_id": TASK, **fields})


def _group(cls: type[E], second: float, fields: dict[str, Any]) -> E:
    return _make(cls, second, {"group_id": GROUP, **fields})


def sent(*, second: float = 0, **fields: Any) -> TaskSent:
    return _task(TaskSent, second, fields)


def received(*, second: float = 1, **fields: Any) -> TaskReceived:
    return _task(TaskReceived, second, fields)


def started(*, second: float = 2, **fields: Any) -> TaskStarted:
    return _task(TaskStarted, second, fields)


def updated(*, second: float = 3, **fields: Any) -> TaskUpdated:
    return _task(TaskUpdated, second, {"state": "PROGRESS", "meta": {"done": 1}, **fields})


def succeeded(*, second: float = 4, **fields: Any) -> TaskSucceeded:
    return _task(TaskSucceeded, second, {"result": 42, **fields})


def failed(*, second: float = 4, **fields: Any) -> TaskFailed:
    return _task(TaskFailed, second, {"error": ERROR, "traceback": "Traceback…", **fields})


def retried(*, second: float = 4, **fields: Any) -> TaskRetried:
    return _task(TaskRetried, second, {"error": ERROR, "traceback": "Traceback…", **fields})


def revoked(*, second: float = 4, **fields: Any) -> TaskRevoked:
    return _task(TaskRevoked, second, {"reason": "enough", **fields})


def rejected(*, second: float = 4, **fields: Any) -> TaskRejected:
    return _task(TaskRejected, second, fields)


def revoke_requested(*, second: float = 4, **fields: Any) -> TaskRevokeRequested:
    return _task(TaskRevokeRequested, second, fields)


def forgotten(*, second: float = 5, **fields: Any) -> TaskForgotten:
    return _task(TaskForgotten, second, fields)


def data_erased(*, second: float = 5, **fields: Any) -> DataErased:
    return _task(DataErased, second, {"key_id": "0" * 32} | fields)


def group_saved(*, second: float = 0, **fields: Any) -> GroupSaved:
    return _group(GroupSaved, second, {"results": [[GROUP, None], []], **fields})


def group_sized(size: int | None = 2, *, second: float = 0, **fields: Any) -> GroupSized:
    return _group(GroupSized, second, {"size": size, **fields})


def group_part(task_id: str = TASK, *, second: float = 1, **fields: Any) -> GroupPart:
    return _group(GroupPart, second, {"task_id": task_id, "group_index": 0, "state": "SUCCESS", "result": 42, **fields})


def group_dispatching(by: str = "a", *, second: float = 2, until: float = 32, **fields: Any) -> GroupDispatching:
    return _group(GroupDispatching, second, {"by": by, "body_id": "body-1", "until": moment(until), **fields})


def group_dispatched(*, second: float = 3, **fields: Any) -> GroupDispatched:
    return _group(GroupDispatched, second, {"body_id": "body-1", **fields})


def group_forgotten(*, second: float = 5, **fields: Any) -> GroupForgotten:
    return _group(GroupForgotten, second, fields)


def unknown(subject: str = TASK, *, second: float = 3, **fields: Any) -> UnknownEvent:
    return _make(UnknownEvent, second, {"subject": subject, "named": "task-teleported", "fields": {"to": "Mars"}, **fields})


def fold(*events: TaskKind, meta: TaskMeta | None = None, offset: int | None = None, after: int = 0) -> TaskMeta:
    """Fold facts into `meta`, from the offset behind its last one on; `after` ms pass before the first of them. Something must be known."""
    for at, log_time, event in _told(events, meta, offset, after):
        meta = apply(meta, event, at, log_time)
    assert meta is not None
    return meta


def fold_group(*events: GroupKind, meta: GroupMeta | None = None, offset: int | None = None, after: int = 0) -> GroupMeta:
    """As `fold`, for a group."""
    for at, log_time, event in _told(events, meta, offset, after):
        meta = apply_group(meta, event, at, log_time)
    assert meta is not None
    return meta


def _told(events: Iterable[E], meta: TaskMeta | GroupMeta | None, offset: int | None, after: int) -> Iterable[tuple[Position, int, E]]:
    first = offset if offset is not None else 0 if meta is None else meta.last_offset + 1
    for at, event in enumerate(events, start=first):
        yield Position(0, at), LOG_EPOCH + at + after, event
