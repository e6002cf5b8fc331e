r"""A record's value without what its row's columns hold already, and whole again.

Where a column's text stands in the value, there is a mark in its place: a control character, which no JSON holds as it is. So most values
of one kind become the same few bytes, and next to nothing on disk. What was cut is put back in the opposite order; every text put back
was found in a value without marks, so none brings a mark of its own.

    {"v":1,"kind":"task-started","event_id":"<04>","task_id":"<05>","time":"<0b>","worker":"w@h","attempt":1}
"""

from __future__ import annotations

from collections.abc import Mapping
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
_ALL = b"".join(MARKS.values())
_BACKWARDS = tuple(MARKS.items())[::-1]
#: Shorter texts are left where they are: a mark would save nothing.
_SHORTEST = 4


def is_markable(value: bytes) -> bool:
    """Whether no mark is in it already."""
    return len(value.translate(None, _ALL)) == len(value)


def cut(value: bytes, texts: Mapping[str, bytes | None]) -> bytes:
    """The value, these columns' texts cut out of it. `value` must be markable, `texts` be in the order of `MARKS`."""
    for name, text in texts.items():
        if text is not None and len(text) >= _SHORTEST:
            value = value.replace(text, MARKS[name])
    return value


def restore(rest: bytes, row: Mapping[str, Any]) -> bytes:
    """The value again, given the row's columns as Python holds them (texts, an aware datetime, a float)."""
    for name, mark in _BACKWARDS:
        if mark in rest:
            rest = rest.replace(mark, text_of(name, row[name]))
    return rest


def text_of(name: str, value: Any) -> bytes:
    """The text of a column that was cut."""
    if name == "time":
        return time_text(value).encode()
    if name == "run_seconds":
        return repr(value).encode()
    return bytes(value.encode())


def time_text(when: datetime) -> str:
    """A time as this version writes it, but for a whole second, which it writes without a fraction."""
    return when.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"
