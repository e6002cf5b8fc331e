"""How one fact lies in a file: framed, so that a torn or damaged one is known, and the next whole one is found.

    magic (4) · crc32 of the rest (4) · number (8) · length of the key (2) · length of the value (4) · key · value

Little-endian. The magic's first byte occurs in no UTF-8 text.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple
from zlib import crc32

MAGIC = b"\xf5fct"
_HEADER = struct.Struct("<4sIQHI")
_CHECKED = struct.Struct("<QHI")
_CRC = struct.Struct("<4sI")
HEADER_BYTES = _HEADER.size
_CHUNK = 256 * 1024


class Frame(NamedTuple):
    """One whole fact of a file; `end` is the offset behind it."""

    number: int
    key: bytes
    value: bytes
    end: int


class Gap(NamedTuple):
    """Bytes from `start` to `end` that are no whole fact. `torn`: the file just ends within one, as after a kill in mid-write."""

    start: int
    end: int
    torn: bool


def framed(number: int, key: bytes, value: bytes) -> bytes:
    """The bytes of one fact."""
    body = _CHECKED.pack(number, len(key), len(value)) + key + value
    return _CRC.pack(MAGIC, crc32(body)) + body


class FrameReader:
    """Reads the facts of one file, which may be growing. Closes nothing: the descriptor is the caller's."""

    def __init__(self, descriptor: int, offset: int) -> None:
        self._descriptor = descriptor
        self._base = offset
        self._buffer = b""
        self._at = 0

    @property
    def offset(self) -> int:
        """Where the next read begins."""
        return self._base + self._at

    def read(self, limit: int) -> Frame | Gap | None:
        """The next fact or gap below the offset `limit`; None at the limit."""
        if self.offset >= limit:
            return None
        found, missing = _parse(self._buffer, self._at)
        while found is None and missing and self._fetch(limit, missing):
            found, missing = _parse(self._buffer, self._at)
        if found is None:
            return self._skip(limit, short=bool(missing))
        number, key, value, self._at = found
        return Frame(number, key, value, self.offset)

    def _fetch(self, limit: int, least: int) -> bool:
        end = self._base + len(self._buffer)
        data = os.pread(self._descriptor, min(limit - end, max(least, _CHUNK)), end) if end < limit else b""
        self._base, self._buffer, self._at = self.offset, self._buffer[self._at :] + data, 0
        return bool(data)

    def _skip(self, limit: int, *, short: bool) -> Gap:
        start = self.offset
        while self._fetch(limit, limit):
            pass
        at = self._at
        while (at := self._buffer.find(MAGIC, at + 1)) >= 0:
            if _parse(self._buffer, at)[0] is not None:
                self._at = at
                return Gap(start, self.offset, torn=False)
        self._base, self._buffer, self._at = limit, b"", 0
        return Gap(start, limit, torn=short)


def _parse(buffer: bytes, at: int) -> tuple[tuple[int, bytes, bytes, int] | None, int]:
    """What lies at `at`: (number, key, value, end), or None; and how many bytes are missing to tell."""
    have = len(buffer) - at
    if have < HEADER_BYTES:
        head = buffer[at : at + len(MAGIC)]
        return None, HEADER_BYTES - have if MAGIC.startswith(head) else 0
    magic, checksum, number, key_length, value_length = _HEADER.unpack_from(buffer, at)
    if magic != MAGIC:
        return None, 0
    body = at + HEADER_BYTES
    end = body + key_length + value_length
    if end > len(buffer):
        return None, end - len(buffer)
    if crc32(memoryview(buffer)[at + _CRC.size : end]) != checksum:
        return None, 0
    return (number, buffer[body : body + key_length], buffer[body + key_length : end], end), 0
