"""What is printed as rows: records of the log, beside the tasks and facts of `eventresults.codec.readable`."""

from __future__ import annotations

import base64
import json
from typing import Any

from eventresults.codec.events import decode
from eventresults.codec.readable import ENVELOPE, brief_row, details, error_line, fact_row, iso, kind_of, task_row
from eventresults.codec.sealed import shown
from eventresults.domain.position import Position
from eventresults.errors import EventCorrupt
from eventresults.log.base import Record

__all__ = ["brief_row", "details", "error_line", "fact_row", "kind_of", "record_line", "record_row", "task_row"]


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
    rest = {name: shown(value) for name, value in event.items() if name not in ENVELOPE | {"v", "kind"} and value is not None}
    return f"{at}{event['kind']:<16} {subject}  {json.dumps(rest, ensure_ascii=False) if rest else ''}".rstrip()


def _raw(name: str, raw: bytes | None) -> dict[str, str | None]:
    if raw is None:
        return {name: None}
    try:
        return {name: raw.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(raw).decode()}
