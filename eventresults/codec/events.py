"""Events and their bytes: one JSON object per record, in UTF-8, readable by anything.

    {"v":1,"kind":"task-succeeded","event_id":"…","task_id":"…","time":"2026-11-22T20:44:56.123456Z","source":"worker@host/pid",…}

None, and `observed` when it is false, are left out. Times are UTC and end in Z (a whole second has no fraction). Reading is strict about
types (`"3"` is no integer) and lenient about the rest: an unknown field is counted and left to the bytes, a null is an absent field,
an unknown kind becomes an `UnknownEvent`. In payloads, whatever a foreign writer sent that is no wire value (an integer beyond 64 bits,
a lone surrogate, a NaN or Infinity token) becomes one, see `eventresults.codec.values`; elsewhere it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from eventresults.codec import foreign
from eventresults.codec.foreign import Decoded, Unreadable
from eventresults.codec.ids import LONGEST, key_of
from eventresults.codec.shapes import PAYLOADS, SHAPES, TIMES, moment
from eventresults.codec.tags import is_utf8, printable
from eventresults.codec.upcast import CURRENT_VERSION, UPCASTERS, Upcaster
from eventresults.codec.wire import MAX_DEPTH, check_wire
from eventresults.codec.written import WRITTEN
from eventresults.domain.events import TaskEvent, UnknownEvent
from eventresults.domain.position import Position
from eventresults.errors import EventCorrupt, InvalidTaskId, ValueNotEncodable

__all__ = ["Decoded", "decode", "decode_event", "encode_event", "encode_fields", "validate_fields"]

#: How each record of this version begins.
_HEAD = b'{"v":%d,' % CURRENT_VERSION
_HEAD_BYTES = len(_HEAD)
#: Fewer bytes nest no deeper than a row may.
_DEEP = 2 * MAX_DEPTH
_parse = msgspec.json.Decoder(TaskEvent).decode
_write = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode


def encode_fields(kind: str, fields: Mapping[str, Any]) -> bytes:
    """The bytes of one event, from fields that hold wire values, texts, numbers and aware datetimes, in the order given.

    Fast, and trusting: payloads must come from `encode_value` or have passed `check_wire` (a NaN would silently become null). Lone
    surrogates in other texts are written out. Raises `InvalidTaskId` for an id that is no UTF-8, `EventCorrupt` for a time
    without offset, `ValueNotEncodable` for what JSON cannot hold.
    """
    record: dict[str, Any] = {"v": CURRENT_VERSION, "kind": kind}
    for name, value in fields.items():
        if value is None or (value is False and name == "observed"):
            continue
        record[name] = _moment(name, value) if name in TIMES and isinstance(value, datetime) else value
    return _bytes(kind, record)


def encode_checked(kind: str, fields: Mapping[str, Any]) -> bytes:
    """The bytes of one event whose fields a reader will accept: `validate_fields` and `encode_fields` in one, and faster.

    Raises what either raises.
    """
    shape = SHAPES.get(kind)
    if shape is None:
        raise _unknown_kind(kind)
    try:
        fact = msgspec.convert(fields, WRITTEN[kind])
        value = _HEAD + _write(fact)[1:]
    except (ValueError, TypeError, OverflowError, RecursionError):
        return _encode_validated(kind, fields)
    for name in shape.times:
        when = getattr(fact, name)
        if when is not None and when.tzinfo is not UTC:
            return _encode_validated(kind, fields)
    return value


def _encode_validated(kind: str, fields: Mapping[str, Any]) -> bytes:
    """What can be made good is; what is wrong is said."""
    validate_fields(kind, fields)
    return encode_fields(kind, {name: fields[name] for name in SHAPES[kind].names if name in fields})


def validate_fields(kind: str, fields: Mapping[str, Any]) -> TaskEvent:
    """The event that these fields make, checked as a reader will check it; times may be datetimes or texts.

    Payloads are not looked into: they come from `encode_value` or have passed `check_wire`. Raises `InvalidTaskId`, and `EventCorrupt`
    naming each wrong field.
    """
    shape = SHAPES.get(kind)
    if shape is None:
        raise _unknown_kind(kind)
    key_of(fields.get(shape.subject, ""))
    record = {name: value for name, value in fields.items() if value is not None}
    try:
        return cast("TaskEvent", foreign.validate(shape, record))
    except Unreadable as unreadable:
        reason = printable(str(unreadable))
        raise EventCorrupt(f"This {kind} fact cannot be recorded: {reason}.", reason=reason) from None


def encode_event(event: TaskEvent | UnknownEvent) -> bytes:
    """The bytes of an event. Its payloads are checked, its other fields are not (see `validate_fields`).

    Raises `ValueNotEncodable` for a payload that is no wire value, otherwise as `encode_fields` does.
    """
    if isinstance(event, UnknownEvent):
        head = {"event_id": event.event_id or None, "time": event.time, "source": event.source, "observed": event.observed}
        check_wire(event.fields, name="fields")
        return encode_fields(event.named, {**head, **event.fields})
    shape = SHAPES.get(event.kind)
    if shape is None:
        raise _unknown_kind(event.kind)
    fields = {name: getattr(event, name) for name in shape.names}
    fields["event_id"] = fields["event_id"] or None
    for name in shape.payloads:
        check_wire(fields[name], name=name)
    return encode_fields(event.kind, fields)


def decode_event(value: bytes | None, *, key: bytes | None = None, position: Position | None = None) -> TaskEvent | UnknownEvent:
    """The event in these bytes; see `decode`."""
    return decode(value, key=key, position=position).event


def decode(
    value: bytes | None, *, key: bytes | None = None, position: Position | None = None, upcasters: Mapping[int, Upcaster] = UPCASTERS
) -> Decoded:
    """The event in the value of a record.

    `key` is the record's: an event that names another subject is refused. `position` names the record in errors, and is the event id of a
    record that has none. Raises `EventCorrupt`, and nothing else, for whatever is no event.
    """
    return Decoded(*read(value, key, position, upcasters))


def read(
    value: bytes | None, key: bytes | None, position: Position | None, upcasters: Mapping[int, Upcaster] = UPCASTERS
) -> tuple[TaskEvent | UnknownEvent, int]:
    """`decode` for those who read many: a plain tuple."""
    if value is not None and value.startswith(_HEAD):
        event = read_ours(value, key)
        if event is not None:
            return event, 0
    try:
        return foreign.read(value, key, position, upcasters)
    except Unreadable as unreadable:
        reason = printable(str(unreadable))
        where = "" if position is None else f" at {position}"
        facts = {} if position is None else {"partition": position.partition, "offset": position.offset}
        raise EventCorrupt(f"The record{where} is no event: {reason}. Find out who wrote it.", reason=reason, **facts) from None


def read_ours(value: bytes, key: bytes | None) -> TaskEvent | None:
    """The event in a record that begins as this version writes it; None where a closer look is due."""
    try:
        if len(value) > _DEEP and value.count(b"[") + value.count(b"{") > MAX_DEPTH:
            _refuse_depth(value)
        event: TaskEvent = _parse(b"{" + value[_HEAD_BYTES:])
        shape = SHAPES[event.kind]
        essence = shape.essence(event)
        # No row holds an integer beyond 64 bits: one check for all payloads at the speed of C.
        _pack(essence[3:])
    except (ValueError, OverflowError, RecursionError):
        return None
    subject = essence[0].encode()
    if (subject == key or key is None) and 0 < len(subject) <= LONGEST and essence[1] and essence[2].tzinfo is UTC:
        for when in essence[shape.other_times_at :]:
            if when is not None and when.tzinfo is not UTC:
                return None
        return event
    return None


def _refuse_depth(value: bytes) -> None:
    """Raise ValueError for JSON of more than 200 levels, at the speed of C."""
    from pydantic_core import from_json  # noqa: PLC0415 - seldom needed, and slow to load

    from_json(value)


def _unknown_kind(kind: str) -> EventCorrupt:
    return EventCorrupt(f"{kind!a} is no kind of fact that this library writes: see EVENT_CLASSES.", reason="unknown kind")


def _bytes(kind: str, record: dict[str, Any]) -> bytes:
    try:
        return _write(record)
    except UnicodeEncodeError:
        return _write_printable(record)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueNotEncodable(
            f"A field of this {kind} fact cannot be recorded ({error}): payloads must have passed encode_value.",
            path=kind,
            type_name="dict",
        ) from error


def _moment(name: str, value: object) -> datetime:
    try:
        return moment(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise EventCorrupt(f"{name} cannot be recorded: {error}.", reason=str(error)) from None


def _write_printable(record: dict[str, Any]) -> bytes:
    for name, value in record.items():
        if type(value) is not str or is_utf8(value):
            continue
        if name in {"task_id", "group_id"}:
            raise InvalidTaskId(f"{value[:64]!a} is no usable id: it is no UTF-8.", task_id=printable(value[:64]))
        if name not in PAYLOADS:
            record[name] = printable(value)
    try:
        return _write(record)
    except UnicodeEncodeError as error:
        raise ValueNotEncodable(
            f"A payload of this {record['kind']!a} fact holds a lone surrogate: it must have passed encode_value.",
            path="payload",
            type_name="str",
        ) from error
