"""Events from outside: JSON lines become events, or a list of what is wrong with them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import IO, Any

import typer

from eventresults.codec.events import decode, encode_event
from eventresults.config.closest import did_you_mean
from eventresults.domain.events import EVENT_CLASSES, TaskEvent, UnknownEvent
from eventresults.errors import EventResultsError

#: All or nothing means that all of it is held in memory.
MOST_BYTES = 256 * 1024 * 1024


def read_events(stream: IO[bytes], max_value_bytes: int) -> tuple[list[str], list[TaskEvent]]:
    """What is wrong, each problem with its line's number, and the events; empty lines are passed over."""
    text = stream.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise typer.BadParameter(f"more than {MOST_BYTES // 2**20} MiB at once: split the input")
    problems: list[str] = []
    events: list[TaskEvent] = []
    now = datetime.now(UTC).isoformat()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            events.append(_event(line, now, max_value_bytes))
        except (ValueError, RecursionError, EventResultsError) as error:
            problems.append(f"line {number}: {error}")
    return problems, events


def _event(line: bytes, now: str, max_value_bytes: int) -> TaskEvent:
    fields: Any = json.loads(line.decode())
    if not isinstance(fields, dict):
        raise ValueError(f"a JSON {type(fields).__name__}, where an object is needed")  # noqa: TRY004 - input, not a call
    kind = fields.get("kind")
    if kind not in EVENT_CLASSES:
        raise ValueError(f"kind {kind!r} is unknown{did_you_mean(str(kind), EVENT_CLASSES)}. Known: {', '.join(EVENT_CLASSES)}")
    event, unknown = decode(json.dumps({"time": now, **fields}).encode())
    assert not isinstance(event, UnknownEvent)
    if unknown:
        names = ", ".join(sorted(fields.keys() - {"v", "kind", *event.__struct_fields__}))
        raise ValueError(f"{kind} has no field {names}")
    size = len(encode_event(event))
    if size > max_value_bytes:
        raise ValueError(f"it takes {size:,} bytes, and max_value_bytes is {max_value_bytes:,}")
    return event
