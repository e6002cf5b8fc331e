"""What each kind of event looks like: its fields, which of them are payloads and times, and the pydantic validator of its class."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from eventresults.codec.tags import printable
from eventresults.domain.events import EVENT_CLASSES, Event, GroupFact, UnknownEvent

#: Fields that hold wire values.
PAYLOADS = frozenset({"args", "kwargs", "result", "results", "meta", "body", "structure", "error", "children", "request", "stamps"})
#: `datetime.fromisoformat`, of the standard library's class also where a test has put another (of a fixed clock, say) in its place.
from_text = datetime.fromisoformat
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Fields that hold a moment.
TIMES = frozenset({"time", "eta", "expires", "when", "until"})


class Shape:
    """One kind of event. Made when the kind is first met: building a validator takes about a millisecond."""

    def __init__(self, cls: type[Event]) -> None:
        self.cls = cls
        self.names = _in_order(cls)
        self.fields = frozenset(self.names)
        self.payloads = self.fields & PAYLOADS
        self.times = tuple(name for name in self.names if name in TIMES)
        self.other_times = self.times[1:]
        self.subject = "subject" if cls is UnknownEvent else "group_id" if issubclass(cls, GroupFact) else "task_id"
        self.adapter: TypeAdapter[Any] = TypeAdapter(cls)
        #: Takes a dict; raises pydantic's ValidationError. Faster than the adapter's own method, which only passes on.
        self.validate = self.adapter.validator.validate_python

    def make_times(self, record: dict[str, Any]) -> None:
        """Turn the texts of times in the record into datetimes. Raises ValueError, TypeError, OverflowError."""
        for name in self.times:
            text = record.get(name)
            if text is not None:
                record[name] = moment(text)

    def make_printable(self, record: dict[str, Any]) -> None:
        """Write out lone surrogates in texts; the subject and the payloads stay."""
        for name, value in record.items():
            if type(value) is str and name != self.subject and name not in self.payloads:
                record[name] = printable(value)


class _Shapes(dict[str, Shape]):
    """Kind -> shape, each made when it is first asked for; KeyError for a kind that this version does not know."""

    def __missing__(self, kind: str) -> Shape:
        return self.setdefault(kind, Shape(EVENT_CLASSES[kind]))


SHAPES = _Shapes()


def shape_of(kind: str) -> Shape | None:
    """The shape of a kind; None when this version does not know it."""
    return SHAPES[kind] if kind in EVENT_CLASSES else None


@cache
def unknown_shape() -> Shape:
    """The shape of `UnknownEvent`."""
    return Shape(UnknownEvent)


def moment(value: object) -> datetime:
    """An ISO 8601 text with an offset, or an aware datetime, as a datetime in UTC. Raises ValueError, TypeError, OverflowError."""
    if not isinstance(value, datetime):
        if not isinstance(value, str):
            raise TypeError("a time must be a datetime, or a text in ISO 8601")
        value = from_text(value)
    elif type(value) is not type(_EPOCH):
        value = from_text(datetime.isoformat(value))
    if value.tzinfo is UTC:
        return value
    if value.utcoffset() is None:
        raise ValueError("a time must have a UTC offset, or end in Z")
    return value.astimezone(UTC)


def _in_order(cls: type[Event]) -> tuple[str, ...]:
    """Field names as they are written: which fact, of what, when, from whom, then the rest."""
    names = [field.name for field in fields(cls)]
    head = [
        name
        for name in ("event_id", "group_id" if issubclass(cls, GroupFact) else "task_id", "time", "source", "observed")
        if name in names
    ]
    return (*head, *(name for name in names if name not in head))
