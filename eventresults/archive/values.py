r"""A record's value without what its row's columns hold already, and whole again.

Where a column's text stands in the value, there is a mark in its place: a control character, which no JSON holds as it is. So most values
of one kind become the same few bytes, and next to nothing on disk. What was cut is put back in the opposite order; every text put back
was found in a value without marks, so none brings a mark of its own.

    {"v":1,"kind":"task-started","event_id":"<04>","task_id":"<05>","time":"<0b>","worker":"w@h","attempt":1}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

#: Column -> its mark, in the order of cutting: long texts first, for they may hold short ones.
MARKS: Mapping[str, bytes] = {
    "result": b"\x01",
    "args": b"\x02",
    "kwargs": b"\x03",
    "event_id": b"\x04",
    "task_id": b"\x05",
    "group_id": b"\x06",
    "root_id": b"\x07",
    "parent_id": b"\x08",
    "previous_id": b"\x0e",
    "time": b"\x0b",
    "run_seconds": b"\x0c",
}
_BACKWARDS = tuple(MARKS.items())[::-1]
#: Shorter texts are left where they are: a mark would save nothing.
_SHORTEST = 4

is_canonical = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z", re.ASCII).fullmatch
"""Whether a time has the one form that its column gives back: that of this version, but for a whole second, which has no fraction."""


def cut(values: Sequence[bytes], columns: Mapping[str, Sequence[Any]]) -> list[bytes]:
    """The values, the texts of their columns cut out. Times are given as their texts, and None is left where it is.

    No value may hold a mark already: a JSON document never does.
    """
    rests = list(values)
    for name, mark in MARKS.items():
        if name in columns:
            texts = map(_TEXTS.get(name, _encoded), columns[name])
            rests = [rest.replace(text, mark) if len(text) >= _SHORTEST else rest for rest, text in zip(rests, texts, strict=True)]
    return rests


def restore(rest: bytes, row: Mapping[str, Any]) -> bytes:
    """The value again, given the row's columns as Python holds them (texts, an aware datetime, a float)."""
    for name, mark in _BACKWARDS:
        if mark in rest:
            value = row[name]
            rest = rest.replace(mark, time_text(value) if name == "time" else _TEXTS.get(name, _encoded)(value))
    return rest


def time_text(when: datetime) -> bytes:
    """The canonical text of a time."""
    return when.astimezone(UTC).isoformat(timespec="microseconds")[:26].encode() + b"Z"


def _encoded(text: str | bytes | None) -> bytes:
    if text is None:
        return b""
    return text if isinstance(text, bytes) else text.encode()


def _number(value: float | None) -> bytes:
    return b"" if value is None else repr(value).encode()


_TEXTS: Mapping[str, Callable[[Any], bytes]] = {"run_seconds": _number}
