"""What JSON lacks, one leaf at a time: a tagged object for each Python type. The table is in `eventresults.codec.values`."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

TAG = "$type"
_PAIR = {TAG, "value"}

#: The integers that stay inline: what a signed 64-bit column holds.
SMALLEST, LARGEST = -(2**63), 2**63 - 1


def tagged(tag: str, value: Any) -> dict[str, Any]:
    """The wire form of something that JSON lacks."""
    return {TAG: tag, "value": value}


def is_tagged(wire: dict[str, Any]) -> bool:
    """Whether this object has the form of a tag."""
    return wire.keys() == _PAIR


def is_utf8(text: str) -> bool:
    """Whether the text can be written as UTF-8: it holds no lone surrogate."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str) -> str:
    r"""The text with each lone surrogate written out (as `\udce9`), for fields that are read by people."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def of_text(text: str) -> Any:
    """Wire value of any text."""
    return text if is_utf8(text) else tagged("str", b64encode(text.encode("utf-8", "surrogatepass")).decode())


def of_integer(number: int) -> Any:
    """Wire value of any integer. Raises ValueError beyond 4,300 digits, as Python's own `str` does."""
    return number if SMALLEST <= number <= LARGEST else tagged("int", str(number))


def of_float(number: float) -> Any:
    """Wire value of any float."""
    if number - number == 0:
        return number
    return tagged("float", "NaN" if number != number else "Infinity" if number > 0 else "-Infinity")  # noqa: PLR0124 - NaN alone differs


def _of_bytes(value: bytes | bytearray | memoryview) -> Any:
    return tagged("bytes", b64encode(bytes(value)).decode())


def _of_timedelta(value: timedelta) -> Any:
    return tagged("timedelta", [value.days, value.seconds, value.microseconds])


#: Leaf types, each before its own base class, and their encoders.
ENCODERS: dict[type, Callable[[Any], Any]] = {
    bytes: _of_bytes,
    bytearray: _of_bytes,
    memoryview: _of_bytes,
    datetime: lambda value: tagged("datetime", datetime.isoformat(value)),
    date: lambda value: tagged("date", date.isoformat(value)),
    time: lambda value: tagged("time", time.isoformat(value)),
    timedelta: _of_timedelta,
    Decimal: lambda value: tagged("decimal", Decimal.__str__(value)),
    UUID: lambda value: tagged("uuid", UUID.__str__(value)),
}

#: Tags whose value is a text, and their decoders. They raise whatever they like for a text that is none of theirs.
DECODERS: dict[str, Callable[[str], Any]] = {
    "bytes": lambda text: b64decode(text, validate=True),
    "str": lambda text: b64decode(text, validate=True).decode("utf-8", "surrogatepass"),
    "int": int,
    "float": {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}.__getitem__,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "decimal": Decimal,
    "uuid": UUID,
}
