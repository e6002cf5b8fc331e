"""Reading a record with care: for those that are not just as this version of the library writes them, and to say what is wrong with one.

Strict about types (`"3"` is no integer), lenient about the rest: an unknown field is counted and left to the bytes, a null is an absent
field, an unknown kind becomes an `UnknownEvent`. In payloads, what is no wire value becomes one (`eventresults.codec.wire.adopt`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import ValidationError

from eventresults.codec.ids import LONGEST
from eventresults.codec.shapes import SHAPES, Shape, unknown_shape
from eventresults.codec.tags import printable
from eventresults.codec.upcast import CURRENT_VERSION, Upcaster, upcast
from eventresults.codec.wire import adopt
from eventresults.domain.events import TaskEvent, UnknownEvent
from eventresults.domain.position import Position


class Decoded(NamedTuple):
    """An event, and how many fields of its record this version does not know."""

    event: TaskEvent | UnknownEvent
    unknown_fields: int


class Unreadable(Exception):
    """Why a record is no event."""


def read(value: bytes | None, key: bytes | None, position: Position | None, upcasters: Mapping[int, Upcaster]) -> Decoded:
    """The event in any record, or `Unreadable`."""
    record = _parse(value)
    version = record.pop("v", CURRENT_VERSION)
    if type(version) is not int:
        raise Unreadable("its v is no integer")
    try:
        return _build(_lift(record, version, upcasters), key, position)
    except Unreadable as unreadable:
        if version > CURRENT_VERSION:
            raise Unreadable(
                f"it is of version {version} and does not read as {CURRENT_VERSION} ({unreadable}); upgrade eventresults"
            ) from None
        raise


def validate(shape: Shape, record: dict[str, Any]) -> Any:
    """The event of these fields. Texts of times and lone surrogates in texts are made good in `record`; raises `Unreadable`."""
    try:
        shape.make_times(record)
    except (ValueError, TypeError, OverflowError) as error:
        raise Unreadable(f"a time of it is unreadable ({error})") from None
    shape.make_printable(record)
    try:
        return shape.validate(record)
    except (ValidationError, RecursionError):
        wrong = list(_wrong(shape, record))
        raise Unreadable("; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else "")) from None


def _wrong(shape: Shape, record: dict[str, Any]) -> Iterator[str]:
    """What is wrong with each field. What was sent stays out of the text: it may be secret, or of any size."""
    for field in msgspec.structs.fields(shape.cls):
        if field.name in record:
            try:
                msgspec.convert(record[field.name], field.type)
            except (ValidationError, RecursionError) as error:
                yield f"{field.name}: {error}"
        elif field.required:
            yield f"{field.name}: it is missing"
    for name in record.keys() - shape.fields:
        yield f"{name}: there is no such field"


def _parse(value: bytes | None) -> dict[str, Any]:
    if not value:
        raise Unreadable("it has no value")
    try:
        record = json.loads(value.decode())
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no JSON in UTF-8 ({type(error).__name__}: {error})") from None
    if type(record) is not dict:
        raise Unreadable(f"it is a JSON {type(record).__name__}, no object")
    return record


def _lift(record: dict[str, Any], version: int, upcasters: Mapping[int, Upcaster]) -> dict[str, Any]:
    try:
        return upcast(record, version, upcasters)
    except Exception as error:  # noqa: BLE001 - an upcaster that meets a hostile record may raise anything
        raise Unreadable(
            f"it is of version {version}, and cannot be lifted to {CURRENT_VERSION} ({type(error).__name__}: {error})"
        ) from None


def _build(record: dict[str, Any], key: bytes | None, position: Position | None) -> Decoded:
    kind = record.pop("kind", None)
    if type(kind) is not str:
        raise Unreadable("its kind is missing or no text")
    if not record.get("event_id"):
        record["event_id"] = "" if position is None else str(position)
    shape = SHAPES.get(kind)
    if shape is None:
        event: Any = _build_unknown(kind, record, key)
        unknown_fields = 0
    else:
        known = {name: item for name, item in record.items() if name in shape.fields and item is not None}
        event = validate(shape, known | {name: _adopted(name, known[name]) for name in shape.payloads & known.keys()})
        unknown_fields = len(record.keys() - shape.fields)
    _check_subject(event.subject, key)
    return Decoded(event, unknown_fields)


def _adopted(name: str, item: Any) -> Any:
    try:
        return adopt(item)
    except ValueError as error:
        raise Unreadable(f"its {printable(name)} is out of bounds ({error})") from None


def _build_unknown(kind: str, record: dict[str, Any], key: bytes | None) -> UnknownEvent:
    shape = unknown_shape()
    envelope = {name: record[name] for name in ("event_id", "time", "source", "observed") if record.get(name) is not None}
    rest = {printable(name): _adopted(name, item) for name, item in record.items() if name not in envelope and item is not None}
    event: UnknownEvent = validate(shape, {**envelope, "subject": _subject(kind, record, key), "named": printable(kind), "fields": rest})
    return event


def _subject(kind: str, record: dict[str, Any], key: bytes | None) -> str:
    """Which id an unknown kind is about: its key where there is one, for which of its ids keys it is not ours to know."""
    ids = ("group_id", "task_id") if kind.startswith("group-") else ("task_id", "group_id")
    claims = [claim for name in ids if isinstance(claim := record.get(name), str)]
    if key is None:
        if not claims:
            raise Unreadable("it names neither a task nor a group")
        return claims[0]
    try:
        subject = key.decode()
    except UnicodeDecodeError:
        raise Unreadable("its key is no UTF-8") from None
    if claims and subject not in claims:
        raise Unreadable("it claims to be about another id than its key")
    return subject


def _check_subject(subject: str, key: bytes | None) -> None:
    try:
        raw = subject.encode()
    except UnicodeEncodeError:
        raise Unreadable("its id is no UTF-8") from None
    if not 0 < len(raw) <= LONGEST:
        raise Unreadable(f"its id takes {len(raw):,} bytes, not 1 to {LONGEST:,}")
    if key is not None and raw != key:
        raise Unreadable("it claims to be about another id than its key")
