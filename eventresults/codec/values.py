r"""Python values and their form on the wire.

What JSON holds is inline, so that anything that reads JSON reads it. What JSON lacks is an object `{"$type": tag, "value": …}`:

    ==============================================  =========  ==================================  =========================
    Python                                          tag        value                               read back as
    ==============================================  =========  ==================================  =========================
    None, bool, str, list, dict with str keys,      (inline)                                       itself
    finite float, int within 64 bits, signed
    int beyond 64 bits                              int        decimal text, up to 4,300 digits    int
    NaN, inf, -inf                                  float      NaN, Infinity, -Infinity            float
    str with lone surrogates                        str        base64 of UTF-8 (surrogatepass)     str
    bytes, bytearray, memoryview                    bytes      base64                              bytes
    tuple, named tuple                              tuple      list                                tuple
    set, frozenset                                  (same)     list                                set, frozenset
    dict with other keys, or one that would be      dict       list of [key, value]                dict
    mistaken for a tag or an opaque envelope
    datetime, date, time                            (same)     ISO 8601, with any UTC offset       itself; a zone becomes
                                                                                                   its offset
    timedelta                                       timedelta  [days, seconds, microseconds]       timedelta
    Decimal                                         decimal    text                                Decimal
    UUID                                            uuid       text                                UUID
    Enum member                                     (inline)   its value                           its value
    dataclass, pydantic model                       (inline)   object of its fields                dict; `get(as_type=T)`
                                                                                                   rebuilds it
    `Opaque`: a value another serializer made       (inline)   {"content_type", "encoding",        `Opaque`
                                                               "body"}, all texts
    subclass of a type above                                   as its base                         the base type
    ==============================================  =========  ==================================  =========================

Anything else, and anything that contains itself or nests deeper than `MAX_DEPTH`, raises `ValueNotEncodable`. An object that merely
looks like a tag (unknown, or holding what its tag cannot) is read back as the dict it is: reading never fails.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from eventresults.codec import tags
from eventresults.codec.tags import LARGEST, SMALLEST, TAG, is_tagged, is_utf8, tagged
from eventresults.codec.wire import MAX_DEPTH, Refused, check_depth, check_wire, key_step

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["MAX_DEPTH", "Opaque", "check_wire", "decode_as", "decode_value", "encode_value"]

T = TypeVar("T")

_ENVELOPE = {"content_type", "encoding", "body"}


@dataclass(frozen=True)
class Opaque:
    """A value that another serializer made, passed through unread; `body` is base64 or text, as `encoding` says."""

    content_type: str
    encoding: str
    body: str


def encode_value(obj: object, *, name: str = "value") -> Any:
    """The wire value of a Python value: plain JSON types, in containers of its own.

    Raises `ValueNotEncodable` naming the place in `obj` (called `name` there) and the type that no rule covers.
    """
    try:
        return _encode(obj, 0)
    except Refused as refused:
        raise refused.error(name) from refused.__cause__


def decode_value(wire: Any) -> Any:
    """The Python value of a wire value. Raises nothing for whatever JSON can hold."""
    kind = type(wire)
    if kind is list:
        return [decode_value(item) for item in wire]
    if kind is not dict:
        return wire
    if TAG in wire:
        return _untag(wire)
    if len(wire) == len(_ENVELOPE) and _is_envelope(wire):
        return Opaque(**wire)
    return {key: decode_value(item) for key, item in wire.items()}


def decode_as(wire: Any, as_type: type[T]) -> T:
    """The Python value, validated as `as_type` by pydantic (fields go by name or alias).

    Raises pydantic's `ValidationError` (a ValueError) when it does not fit, `PydanticUserError` for a type that pydantic cannot validate.
    """
    key: Any = as_type
    try:
        adapter: TypeAdapter[T] = _adapter(key)
    except TypeError:  # unhashable: Annotated with a list in it, say
        adapter = _adapter.__wrapped__(key)
    return adapter.validate_python(decode_value(wire), by_alias=True, by_name=True)


_field_step = ".{}".format


def _encode(obj: Any, depth: int) -> Any:  # noqa: PLR0911 - one branch per row of the table, commonest first
    kind = type(obj)
    if kind is str:
        return tags.of_text(obj)
    if kind is bool or obj is None:
        return obj
    if kind is int:
        return _encode_leaf(obj, tags.of_integer)
    if kind is float:
        return tags.of_float(obj)
    if kind is list:
        return _encode_items(obj, depth + 1)
    if kind is dict:
        return _encode_dict(obj, depth + 1, key_step)
    if kind is tuple:
        return tagged("tuple", _encode_items(obj, depth + 2))
    if kind is set or kind is frozenset:
        return tagged(kind.__name__, _encode_items(obj, depth + 2))
    encoder = tags.ENCODERS.get(kind)
    return _encode_other(obj, depth) if encoder is None else _encode_leaf(obj, encoder)


def _encode_leaf(obj: Any, encoder: Callable[[Any], Any]) -> Any:
    try:
        return encoder(obj)
    except Exception as error:
        # A time zone or a property may raise anything, and an integer has too many digits beyond 4,300.
        raise Refused(obj, f"it could not be read ({type(error).__name__}: {error}). Record a text of it instead.") from error


def _encode_items(obj: Any, depth: int) -> list[Any]:
    check_depth(obj, depth)
    out: list[Any] = []
    try:
        for item in obj:
            kind = type(item)
            # The commonest leaves once more, for a call each would double the cost of the walk.
            if (kind is str and item.isascii()) or kind is bool or item is None or (kind is int and SMALLEST <= item <= LARGEST):
                out.append(item)
            else:
                out.append(_encode(item, depth))
    except Refused as refused:
        refused.path.append("{…}" if isinstance(obj, set | frozenset) else f"[{len(out)}]")
        raise
    return out


def _encode_dict(obj: dict[Any, Any], depth: int, step: Callable[[object], str]) -> dict[str, Any]:
    check_depth(obj, depth)
    out: dict[str, Any] = {}
    key: Any = None
    try:
        for key, item in obj.items():
            if type(key) is not str:
                if not isinstance(key, str):
                    break
                key = str.__str__(key)  # noqa: PLW2901 - a subclass becomes its base, as everywhere
            if not (key.isascii() or is_utf8(key)):
                break
            kind = type(item)
            if (kind is str and item.isascii()) or kind is bool or item is None or (kind is int and SMALLEST <= item <= LARGEST):
                out[key] = item
            else:
                out[key] = _encode(item, depth)
        else:
            if TAG not in out and not (len(out) == len(_ENVELOPE) and _is_envelope(out)):
                return out
    except Refused as refused:
        refused.path.append(step(key))
        raise
    return _encode_pairs(obj, depth, step)


def _encode_pairs(obj: dict[Any, Any], depth: int, step: Callable[[object], str]) -> dict[str, Any]:
    check_depth(obj, depth + 2)
    pairs: list[Any] = []
    key: Any = None
    try:
        for key, item in obj.items():
            pairs.append([_encode(key, depth + 2), _encode(item, depth + 2)])
    except Refused as refused:
        refused.path.append(step(key))
        raise
    return tagged("dict", pairs)


def _encode_other(obj: Any, depth: int) -> Any:  # noqa: C901, PLR0911 - one branch per row of the table
    if isinstance(obj, Enum):
        return _encode(obj.value, depth)
    if isinstance(obj, Opaque):
        if not _is_envelope(obj.__dict__):
            raise Refused(obj, "its content_type, encoding and body must be texts.")
        return dict(obj.__dict__)
    for base, to_base in _BASES.items():
        if isinstance(obj, base):
            return _encode(to_base(obj), depth)
    for base, encoder in tags.ENCODERS.items():
        if isinstance(obj, base):
            return _encode_leaf(obj, encoder)
    if "pydantic" in sys.modules:  # where nobody imported it there are no models, and it is slow to import
        from pydantic import BaseModel, RootModel  # noqa: PLC0415

        if isinstance(obj, RootModel):
            return _encode(obj.root, depth)
        if isinstance(obj, BaseModel):
            return _encode_dict(dict(obj), depth + 1, _field_step)
    if is_dataclass(obj) and not isinstance(obj, type):
        return _encode_dict(_encode_leaf(obj, _fields_of), depth + 1, _field_step)
    raise Refused(obj, "no rule covers its type. Record a dict, a dataclass or a text of what matters in it instead.")


_BASES: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__index__,
    float: float.__float__,
    dict: dict,
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
}


def _fields_of(obj: Any) -> dict[str, Any]:
    return {field.name: getattr(obj, field.name) for field in fields(obj)}


def _is_envelope(wire: dict[str, Any]) -> bool:
    return wire.keys() == _ENVELOPE and all(type(text) is str and is_utf8(text) for text in wire.values())


def _untag(wire: dict[str, Any]) -> Any:
    value = wire.get("value")
    try:
        if is_tagged(wire):
            tag = wire[TAG]
            if type(value) is str and tag in tags.DECODERS:
                return tags.DECODERS[tag](value)
            if type(value) is list and tag in _CONTAINERS:
                return _CONTAINERS[tag](value)
    except (ValueError, TypeError, LookupError, ArithmeticError):
        pass  # it only looks like a tag
    return {key: decode_value(item) for key, item in wire.items()}


_CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": lambda value: tuple(decode_value(value)),
    "set": lambda value: set(decode_value(value)),
    "frozenset": lambda value: frozenset(decode_value(value)),
    "dict": lambda value: {decode_value(key): decode_value(item) for key, item in value},
    "timedelta": lambda value: timedelta(*value),
}


@lru_cache(maxsize=256)
def _adapter(as_type: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # noqa: PLC0415 - only who asks for types needs it

    return TypeAdapter(as_type)
