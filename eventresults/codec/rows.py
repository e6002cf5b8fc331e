"""Rows of the view: what the fold keeps, in MessagePack, behind a byte that names the layout.

A row holds the fields that differ from their defaults, times as native timestamps.
Rows are a cache: a layout that this version does not write is not converted, it is rebuilt from the log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.errors import ViewCorrupt

#: The layout of all rows here.
SCHEMA = 1

Row = TypeVar("Row", TaskMeta, GroupMeta)
#: Offset of the same subject's record before it (-1: none), its own offset, its log time (ms), the event's bytes.
Entry = tuple[int, int, int, bytes]

_MARK = bytes([SCHEMA])
_encode = msgspec.msgpack.Encoder().encode
_read_task = msgspec.msgpack.Decoder(TaskMeta).decode
_read_group = msgspec.msgpack.Decoder(GroupMeta).decode
_decode_entries = msgspec.msgpack.Decoder(list[Entry]).decode


def encode_task(meta: TaskMeta) -> bytes:
    """The row of a task. Its payloads must be wire values, as `eventresults.codec.events.decode` gives them."""
    return _MARK + _encode(meta)


def decode_task(raw: bytes) -> TaskMeta:
    """The task in a row; raises `ViewCorrupt`."""
    return _read(_read_task, raw)


def encode_group(meta: GroupMeta) -> bytes:
    """The row of a group; as `encode_task`."""
    return _MARK + _encode(meta)


def decode_group(raw: bytes) -> GroupMeta:
    """The group in a row; raises `ViewCorrupt`."""
    return _read(_read_group, raw)


def encode_segment(entries: Sequence[Entry]) -> bytes:
    """The row of consecutive records of history."""
    return _MARK + _encode(entries)


def decode_segment(raw: bytes) -> list[Entry]:
    """The records in a row of history; raises `ViewCorrupt`."""
    if raw[:1] != _MARK:
        raise _other_layout(raw)
    try:
        return _decode_entries(raw[1:])
    except (ValueError, RecursionError) as error:
        raise _corrupt(str(error)) from error


def _read(read: Callable[[bytes], Row], raw: bytes) -> Row:
    if raw[:1] != _MARK:
        raise _other_layout(raw)
    try:
        return read(raw[1:])
    except (ValueError, RecursionError) as error:
        raise _corrupt(str(error)) from error


def _other_layout(raw: bytes) -> ViewCorrupt:
    return _corrupt(f"its layout is {raw[0]}, this version reads {SCHEMA}" if raw else "it is empty")


def _corrupt(reason: str) -> ViewCorrupt:
    return ViewCorrupt(f"A row of the view cannot be read: {reason}. Run `eventresults view rebuild`.", reason=reason)
