"""Tasks and facts as rows: plain data for a table or for JSON. Values stay as recorded, for nothing here unpickles or rebuilds."""

from __future__ import annotations

import base64
import json
from dataclasses import fields
from datetime import datetime
from typing import Any

from eventresults.cli.times import iso
from eventresults.codec.events import decode
from eventresults.domain.events import GroupFact, TaskEvent, UnknownEvent
from eventresults.domain.meta import TaskMeta
from eventresults.domain.position import Position
from eventresults.errors import EventCorrupt
from eventresults.log.base import Record
from eventresults.view.base import Fact

_ENVELOPE = {"event_id", "time", "source", "observed", "task_id", "group_id"}


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
        "retries": meta.retries,
        "retry_at": iso(meta.retry_at),
        "eta": iso(meta.eta),
        "expires": iso(meta.expires),
        "parent_id": meta.parent_id,
        "previous_id": meta.previous_id,
        "root_id": meta.root_id,
        "group_id": meta.group_id,
        "group_index": meta.group_index,
        "children": meta.children,
        "revoke_request": meta.revoke_request,
        "revocation": meta.revocation,
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


def error_line(error: dict[str, Any] | None) -> str | None:
    """An error as recorded, in one line: its class and its text."""
    if error is None:
        return None
    kind, text = error.get("type"), error.get("message")
    return f"{kind or 'error'}: {text}" if text else str(kind or "error")


def fact_row(fact: Fact) -> dict[str, Any]:
    """One fact as history tells it; `details` are the fields of its kind."""
    event = fact.event
    return {
        "position": str(fact.position),
        "log_time": iso(fact.log_time),
        "kind": kind_of(event),
        "time": iso(event.time),
        "source": event.source,
        "event_id": event.event_id,
        "observed": event.observed,
        "details": details(event),
    }


def kind_of(event: TaskEvent | UnknownEvent) -> str:
    """The kind as the wire names it."""
    return event.named if isinstance(event, UnknownEvent) else event.kind


def details(event: TaskEvent | UnknownEvent) -> dict[str, Any]:
    """The fields of an event that its kind adds and that are set."""
    if isinstance(event, UnknownEvent):
        return {name: value for name, value in event.fields.items() if name not in _ENVELOPE}
    hidden = _ENVELOPE - {"task_id"} if isinstance(event, GroupFact) else _ENVELOPE
    found = {field.name: getattr(event, field.name) for field in fields(event) if field.name not in hidden}
    return {name: iso(value) if isinstance(value, datetime) else value for name, value in found.items() if value is not None}


def record_row(partition: int, record: Record) -> dict[str, Any]:
    """One record of the log, the event as recorded; bytes that are no event are shown as the bytes they are, with the reason."""
    row: dict[str, Any] = {"partition": partition, "offset": record.offset, "log_time": iso(record.log_time)}
    try:
        decode(record.value, key=record.key, position=Position(partition, record.offset))
        return {**row, "event": json.loads(record.value or b"")}
    except (EventCorrupt, ValueError, RecursionError) as error:
        return {**row, "event": None, "reason": str(error), **_raw("key", record.key), **_raw("value", record.value)}


def record_line(row: dict[str, Any]) -> str:
    """The same for people: one line."""
    at = f"{row['partition']}:{row['offset']}  {row['log_time']}  "
    event = row["event"]
    if event is None:
        return f"{at}(no event)  {row['reason']}"
    subject = event.get("task_id") or event.get("group_id")
    rest = {name: value for name, value in event.items() if name not in _ENVELOPE | {"v", "kind"} and value is not None}
    return f"{at}{event['kind']:<16} {subject}  {json.dumps(rest, ensure_ascii=False) if rest else ''}".rstrip()


def _raw(name: str, raw: bytes | None) -> dict[str, str | None]:
    if raw is None:
        return {name: None}
    try:
        return {name: raw.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(raw).decode()}
