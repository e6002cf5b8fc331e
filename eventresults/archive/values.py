r"""A record's value without what its row's columns hold already, and whole again.

Where a column's text stands in the value, there is a mark in its place: a control character, which no JSON holds as it is. So most values
of one kind become the same few bytes, and next to nothing on disk. What was cut is put back in the opposite order; every text put back
was found in a value without marks, so none brings a mark of its own.

    {"v":1,"kind":"task-started","event_id":"<04>","task_id":"<05>","time":"<0b>","worker":"w@h","attempt":1}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
_PAYLOADS = {"result", "args", "kwargs"}
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
        column = columns.get(name)
        if column is None or not any(column):
            continue
        texts = _texts(name, column)
        rests = [rest.replace(text, mark) if len(text) >= _SHORTEST else rest for rest, text in zip(rests, texts, strict=True)]
    return rests


def restore(rests: Sequence[bytes], columns: Mapping[str, Sequence[Any]]) -> list[bytes]:
    """The values again, given the same columns."""
    values = list(rests)
    for name, mark in _BACKWARDS:
        column = columns.get(name)
        if column is None or not any(column):
            continue
        texts = _texts(name, column)
        values = [value.replace(mark, text) if mark in value else value for value, text in zip(values, texts, strict=True)]
    return values


def _texts(name: str, column: Sequence[Any]) -> list[bytes]:
    """What stands in the values for these; nothing for None. A payload's text may be bytes already."""
    if name == "run_seconds":
        return [b"" if number is None else repr(number).encode() for number in column]
    if name in _PAYLOADS:
        return [b"" if text is None else text if type(text) is bytes else text.encode() for text in column]
    return [b"" if text is None else text.encode() for text in column]
