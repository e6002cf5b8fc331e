"""Small rows that hold plain data (lists, dicts, numbers, texts, bytes): MessagePack, read back as it was written."""

from __future__ import annotations

from typing import Any

import msgspec

from eventresults.errors import ViewCorrupt

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


def pack(value: Any) -> bytes:
    """Bytes of a plain value."""
    return _encoder.encode(value)


def unpack(raw: bytes) -> Any:
    """The plain value of these bytes. Raises `ViewCorrupt` when they are none."""
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, ValueError) as error:
        raise ViewCorrupt(f"A row of the view cannot be read ({error}): run `eventresults view rebuild`.", reason=str(error)) from error
