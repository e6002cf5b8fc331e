"""What the folds of tasks and of groups share: which facts count only once, when a life is over, and the books kept of each life."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Literal

from eventresults.domain.events import Event
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position

#: The fields of a meta on its way, those alone that differ from their defaults.
Fields = dict[str, Any]
#: Why a fact was dropped: its id is among the last 64 of the life; its offset is folded already; the id is forgotten, and the fact
#: opens no life; the id is unknown or expired, and the fact opens no life.
Drop = Literal["duplicate", "refolded", "after-forgotten", "nothing-there"]

_MARK = 8
_KEPT = 64 * _MARK
#: From this many seconds on (some 30,000 years) a lifetime is "never": the date would not fit a key.
_FOREVER = 1e12
_BOOKS = ("partition", "first_offset", "last_offset", "facts", "born_at", "log_time", "expires_at", "seen")


def reason_dropped(meta: TaskMeta | GroupMeta | None, event: Event, at: Position) -> Drop:
    """Why `apply` or `apply_group` gave back the `meta` it was handed. To be asked only when it did."""
    if meta is None:
        return "nothing-there"
    if at.offset <= meta.last_offset and at.partition == meta.partition:
        return "refolded"
    if repeated(meta.seen, mark_of(event.event_id)):
        return "duplicate"
    return "after-forgotten" if meta.phase == "forgotten" else "nothing-there"


def known(meta: TaskMeta | GroupMeta, mark: bytes, at: Position) -> bool:
    """Whether this record, or this fact in another record, was folded into `meta`, or into the life before it."""
    if at.offset <= meta.last_offset and at.partition == meta.partition:
        return True
    # A search that ignores where marks begin is the quick way to a no
    return mark in meta.seen and repeated(meta.seen, mark)


def opened(previous: TaskMeta | GroupMeta | None, mark: bytes, at: Position, log_time: int) -> Fields:
    """The books of a life that begins with this fact. It remembers the facts of the life before it, so that none of them revives it."""
    return {
        "partition": at.partition,
        "first_offset": at.offset,
        "last_offset": at.offset,
        "facts": 1,
        "born_at": log_time,
        "log_time": log_time,
        "seen": mark if previous is None else remember(previous.seen, mark),
    }


def continued(meta: TaskMeta | GroupMeta, mark: bytes, at: Position, log_time: int) -> Fields:
    """A copy of what is known, with this fact in the books."""
    fields = meta.__dict__.copy()
    fields["partition"] = at.partition
    fields["last_offset"] = at.offset
    fields["facts"] = meta.facts + 1
    fields["log_time"] = log_time
    fields["seen"] = remember(meta.seen, mark)
    return fields


def closed(fields: Fields) -> Fields:
    """What a tombstone keeps: enough to know late facts of the forgotten life by, until that would have expired."""
    kept = {name: fields[name] for name in _BOOKS if name in fields}
    kept["phase"] = "forgotten"
    return kept


def mark_of(event_id: str) -> bytes:
    """The eight bytes by which a life remembers an event id; none for a fact without one, which repeats nothing."""
    return blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=_MARK).digest() if event_id else b""


def repeated(seen: bytes, mark: bytes) -> bool:
    """Whether `mark` is one of the marks in `seen`."""
    found = seen.find(mark) if mark else -1
    while found % _MARK and found >= 0:  # it straddles two marks
        found = seen.find(mark, found + 1)
    return found >= 0


def remember(seen: bytes, mark: bytes) -> bytes:
    """`seen` with `mark` as its newest; the oldest of 64 leaves."""
    return seen[_MARK - _KEPT :] + mark if mark else seen


def expiry(log_time: int, seconds: float | None) -> int | None:
    """Log time (ms) at which what was written at `log_time` to live for `seconds` is over; None or 0 seconds: never."""
    if seconds is None or not 0 < seconds < _FOREVER:
        return None
    return log_time + max(1, round(seconds * 1000))
