"""What each kind of event looks like: its fields, which of them are payloads and times, and what makes an event of a dict."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, partial
from operator import attrgetter
from typing import Any

import msgspec

from eventresults.codec.tags import printable
from eventresults.domain.events import EVENT_CLASSES, Event, GroupFact, UnknownEvent

#: Fields that hold wire values.
PAYLOADS = frozenset({"args", "kwargs", "result", "results", "meta", "body", "structure", "error", "children", "request", "stamps"})
# The standard library's own also where a test has put another class (of a fixed clock, say) in its place.
_from_iso = datetime.fromisoformat
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Fields that hold a moment.
TIMES = frozenset({"time", "eta", "expires", "when", "until"})


class Shape:
    """One kind of event."""

    def __init__(self, cls: type[Event]) -> None:
        self.cls = cls
        self.names = _in_order(cls)
        self.fields = frozenset(self.names)
        self.payloads = self.fields & PAYLOADS
        self.times = tuple(name for name in self.names if name in TIMES)
        self.subject = "subject" if cls is UnknownEvent else "group_id" if issubclass(cls, GroupFact) else "task_id"
        #: Of an event: its subject, its id, its time, and then its payloads and other times.
        self.essence: Callable[[Event], tuple[Any, ...]] = attrgetter(
            self.subject, "event_id", "time", *sorted(self.payloads), *self.times[1:]
        )
        #: Where in it the other times begin.
        self.other_times_at = 3 + len(self.payloads)
        #: The event of a dict; raises msgspec's ValidationError.
        self.validate = partial(msgspec.convert, type=cls)

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


def from_text(text: str) -> datetime:
    """The moment, or the local time, that an ISO 8601 text names, to the nearest microsecond. Raises ValueError, TypeError."""
    try:
        return msgspec.convert(text, datetime)
    except msgspec.ValidationError:  # one of the forms that RFC 3339 leaves out
        return _from_iso(text)


def moment(value: object) -> datetime:
    """An ISO 8601 text with an offset, or an aware datetime, as a datetime in UTC. Raises ValueError, TypeError, OverflowError."""
    if not isinstance(value, datetime):
        if not isinstance(value, str):
            raise TypeError("a time must be a datetime, or a text in ISO 8601")
        value = from_text(value)
    elif type(value) is not type(_EPOCH):
        value = _from_iso(datetime.isoformat(value))
    if value.tzinfo is UTC:
        return value
    if value.utcoffset() is None:
        raise ValueError("a time must have a UTC offset, or end in Z")
    return value.astimezone(UTC)


def _in_order(cls: type[Event]) -> tuple[str, ...]:
    """Field names as they are written: which fact, of what, when, from whom, then the rest."""
    names = cls.__struct_fields__
    head = [
        name
        for name in ("event_id", "group_id" if issubclass(cls, GroupFact) else "task_id", "time", "source", "observed")
        if name in names
    ]
    return (*head, *(name for name in names if name not in head))


#: Kind -> shape, of those that this version knows.
SHAPES = {kind: Shape(cls) for kind, cls in EVENT_CLASSES.items()}


@cache
def unknown_shape() -> Shape:
    """The shape of `UnknownEvent`."""
    return Shape(UnknownEvent)
