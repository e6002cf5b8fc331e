"""Tasks, groups and facts as plain data for people and programs. Values stay as recorded: nothing is unpickled or rebuilt."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from eventresults.domain.events import GroupFact, TaskEvent, UnknownEvent
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position

#: The fields that every fact has.
ENVELOPE = frozenset({"event_id", "time", "source", "observed", "task_id", "group_id"})


def task_row(meta: TaskMeta) -> dict[str, Any]:
    """Everything that is known of one task."""
    return {
        "id": meta.task_id,
        "state": meta.state,
        "name": meta.name,
        "args": meta.args,
        "kwargs": meta.kwargs,
        "result": meta.result,
        "error": meta.error,
        "progress": meta.progress,
        "worker": meta.worker,
        "pid": meta.pid,
        "queue": meta.queue,
        "sent_at": iso(meta.sent_at),
        "received_at": iso(meta.received_at),
        "first_started_at": iso(meta.first_started_at),
        "started_at": iso(meta.started_at),
        "date_done": iso(meta.date_done),
        "queue_time": meta.queue_time,
        "runtime": meta.runtime,
        "attempts": meta.attempts,
        "lost": meta.lost,
        "retries": meta.retries,
        "retry_at": iso(meta.retry_at),
        "eta": iso(meta.eta),
        "expires": iso(meta.expires),
        "parent_id": meta.parent_id,
        "previous_id": meta.previous_id,
        "root_id": meta.root_id,
        "group_id": meta.group_id,
        "group_index": meta.group_index,
        "replay_of": meta.replay_of,
        "children": meta.children,
        "revoke_request": meta.revoke_request,
        "revocation": meta.revocation,
        "request": meta.request,
        "position": str(meta.position),
        "facts": meta.facts,
        "born_at": iso(meta.born_at),
        "log_time": iso(meta.log_time),
        "expires_at": iso(meta.expires_at),
        "traceback": meta.traceback,
    }


def brief_row(meta: TaskMeta) -> dict[str, Any]:
    """What a list says of one task."""
    return {
        "id": meta.task_id,
        "state": meta.state,
        "name": meta.name,
        "worker": meta.worker,
        "attempts": meta.attempts,
        "runtime": meta.runtime,
        "born_at": iso(meta.born_at),
        "date_done": iso(meta.date_done),
        "error": error_line(meta.error),
        "position": str(meta.position),
    }


def group_row(meta: GroupMeta) -> dict[str, Any]:
    """Everything that is known of one group; `parts` maps "task_id/group_index" to [state, offset of its fact]."""
    return {
        "id": meta.group_id,
        "results": meta.results,
        "size": meta.size,
        "added": meta.added,
        "complete": meta.complete,
        "run": meta.run,
        "parts": meta.parts,
        "body": meta.body,
        "structure": meta.structure,
        "claim": meta.claim,
        "dispatched": meta.dispatched,
        "position": str(meta.position),
        "facts": meta.facts,
        "born_at": iso(meta.born_at),
        "log_time": iso(meta.log_time),
        "expires_at": iso(meta.expires_at),
    }


def fact_row(fact: tuple[Position, int, TaskEvent | UnknownEvent]) -> dict[str, Any]:
    """One fact (position, log time, event) as history tells it; `details` are the fields of its kind."""
    position, log_time, event = fact
    return {
        "position": str(position),
        "log_time": iso(log_time),
        "kind": kind_of(event),
        "time": iso(event.time),
        "source": event.source,
        "event_id": event.event_id,
        "observed": event.observed,
        "details": details(event),
    }


def error_line(error: dict[str, Any] | None) -> str | None:
    """An error as recorded, in one line: its class and its text."""
    if error is None:
        return None
    kind, text = error.get("type"), error.get("message")
    return f"{kind or 'error'}: {text}" if text else str(kind or "error")


def kind_of(event: TaskEvent | UnknownEvent) -> str:
    """The kind as the wire names it."""
    return event.named if isinstance(event, UnknownEvent) else event.kind


def details(event: TaskEvent | UnknownEvent) -> dict[str, Any]:
    """The fields of an event that its kind adds and that are set."""
    if isinstance(event, UnknownEvent):
        return {name: value for name, value in event.fields.items() if name not in ENVELOPE}
    hidden = ENVELOPE - {"task_id"} if isinstance(event, GroupFact) else ENVELOPE
    found = {name: getattr(event, name) for name in event.__struct_fields__ if name not in hidden}
    return {name: iso(value) if isinstance(value, datetime) else value for name, value in found.items() if value is not None}


def iso(when: datetime | int | None) -> str | None:
    """A time (or milliseconds since the epoch) as ISO 8601 in UTC."""
    if when is None:
        return None
    if isinstance(when, int):
        when = datetime.fromtimestamp(when / 1000, UTC)
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
