"""Records just as this version writes them, read at the speed of C: one struct for each kind of event, its payloads left as they are.

Strict as `eventresults.codec.events` is: what has any other form is none of these, and is left to the codec to judge.
"""

from __future__ import annotations

from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta, Raw
from msgspec.structs import fields

from eventresults.codec.shapes import from_text
from eventresults.codec.wire import MAX_DEPTH
from eventresults.domain.events import EVENT_CLASSES, Event, GroupFact
from eventresults.log.base import Record

_NOTHING = Raw(b"")


class Fact(msgspec.Struct, tag_field="kind", kw_only=True):
    """What every fact carries; `time` is its text."""

    v: Annotated[int, Meta(ge=1, le=1)]
    event_id: Annotated[str, Meta(min_length=1)]
    time: str
    source: str | None = None
    observed: bool = False


class OfTask(Fact):
    """A fact about a task."""

    task_id: Annotated[str, Meta(min_length=1)]


class OfGroup(Fact):
    """A fact about a group."""

    group_id: Annotated[str, Meta(min_length=1)]


def read(record: Record) -> Any:
    """The struct of a record in our own form; None where the codec must have a look."""
    value = record.value
    if value is None or (len(value) > 2 * MAX_DEPTH and value.count(b"[") + value.count(b"{") > MAX_DEPTH):
        return None
    try:
        if not value.isascii():
            value.decode()
        fact = _decoder().decode(value)
        from_text(fact.time)
    except (ValueError, RecursionError):
        return None
    subject = fact.group_id if isinstance(fact, OfGroup) else fact.task_id
    # A time that ends in Z is in UTC, as this version writes it.
    return fact if subject.encode() == record.key and fact.time[-1] == "Z" else None


def kind_of(cls: Any) -> str:
    """The kind of the facts that this struct holds."""
    return str(cls.__struct_config__.tag)


@cache
def _decoder() -> Any:
    return msgspec.json.Decoder(Union[tuple(_struct(kind, cls) for kind, cls in EVENT_CLASSES.items())])  # noqa: UP007 - made at run time


@cache
def columns_of(kind: str) -> frozenset[str]:
    """The names of the fields that this kind has."""
    return frozenset(EVENT_CLASSES[kind].__struct_fields__)


def _struct(kind: str, cls: type[Event]) -> Any:
    base = OfGroup if issubclass(cls, GroupFact) else OfTask
    made: list[Any] = []
    for field in fields(cls):
        if field.name in base.__struct_fields__:
            continue
        typed = _typed(field.type)
        if field.default is NODEFAULT:
            made.append((field.name, typed))
        else:
            made.append((field.name, typed, _NOTHING if typed is Raw else field.default))
    return msgspec.defstruct(cls.__name__, made, bases=(base,), tag=kind, kw_only=True, gc=False)


def _typed(hint: Any) -> Any:
    """The event's own type, but for payloads, which stay as they are."""
    if hint is Any:
        return Raw
    if get_origin(hint) in {Union, UnionType}:
        return Union[tuple(_typed(one) for one in get_args(hint))]  # noqa: UP007 - made at run time
    return hint
