"""Facts, changes, freshness and errors as they travel in messages, and as they were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from eventresults import errors
from eventresults.codec import rows
from eventresults.codec.events import decode_event, encode_event
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position
from eventresults.errors import EventCorrupt, EventResultsError, ViewUnavailable
from eventresults.view import protocol
from eventresults.view.base import Change, Fact, Freshness


def wire_freshness(freshness: Freshness) -> protocol.WireFreshness:
    """As it travels."""
    return (freshness.partition, freshness.offset) if isinstance(freshness, Position) else freshness


def read_freshness(wire: protocol.WireFreshness) -> Freshness:
    """As it was. Raises ValueError."""
    if not isinstance(wire, str):
        return Position(*wire)
    if wire not in {"default", "latest", "applied"}:
        raise ValueError(f"{wire!r} is no freshness: default, latest, applied, or a position")
    return cast("Freshness", wire)


def wire_fact(fact: Fact) -> protocol.WireFact:
    """As it travels."""
    return fact.position.partition, fact.position.offset, fact.log_time, encode_event(fact.event)


def read_fact(wire: protocol.WireFact, subject: str | None = None) -> Fact:
    """As it was."""
    partition, offset, log_time, value = wire
    at = Position(partition, offset)
    try:
        return Fact(at, log_time, decode_event(value, key=None if subject is None else subject.encode(), position=at))
    except EventCorrupt as error:
        raise ViewUnavailable(f"The owner of the view sent a fact that is none: {error}", services=[]) from error


def wire_change(change: Change) -> protocol.WireChange:
    """As it travels."""
    meta = change.meta
    if isinstance(meta, TaskMeta):
        return change.subject, wire_fact(change.fact), "t", rows.encode_task(meta)
    if isinstance(meta, GroupMeta):
        return change.subject, wire_fact(change.fact), "g", rows.encode_group(meta)
    return change.subject, wire_fact(change.fact), "", b""


def read_change(wire: protocol.WireChange) -> Change:
    """As it was."""
    subject, fact, kind, row = wire
    meta = rows.decode_task(row) if kind == "t" else rows.decode_group(row) if kind == "g" else None
    return Change(subject, read_fact(fact, subject), meta)


def failed(call: int, error: BaseException) -> protocol.Failed:
    """An error as it travels: by the name of its class, which must be one of ours (or ValueError)."""
    if isinstance(error, EventResultsError):
        return protocol.Failed(
            call, type(error).__name__, _text(error.message), {name: _plain(value) for name, value in error.facts.items()}
        )
    if isinstance(error, ValueError):
        return protocol.Failed(call, "ValueError", _text(str(error)), {})
    reason = _text(repr(error))
    return protocol.Failed(call, "ViewError", f"the owner of the view failed: {reason}; see its log", {"reason": reason})


def read_error(said: protocol.Failed) -> Exception:
    """The error as it was raised."""
    kind = ValueError if said.error == "ValueError" else getattr(errors, said.error, None)
    if kind is ValueError:
        return ValueError(said.message)
    if not (isinstance(kind, type) and issubclass(kind, EventResultsError)):
        kind = errors.ViewError
    return kind(said.message, **said.facts)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, float | bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {_text(str(name)): _plain(one) for name, one in value.items()}
    return _text(str(value))


def _text(text: str) -> str:
    """What UTF-8 can hold of it: a path may have lone surrogates."""
    return text.encode(errors="backslashreplace").decode()
