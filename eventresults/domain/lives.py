"""What the folds of tasks and of groups share: which facts count only once, when a life is over, and the books kept of each life."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Literal

from eventresults.domain.events import Event
from eventresults.domain.meta import Books, GroupMeta, TaskMeta
from eventresults.domain.position import Position

#: Why a fact was dropped: its id is among the last 64 of the life; its offset is folded already; the id is forgotten, and the fact
#: opens no life; the id is unknown or expired, and the fact opens no life.
Drop = Literal["duplicate", "refolded", "after-forgotten", "nothing-there"]

_MARK = 8
_KEPT = 64 * _MARK
_PRIME = 2**61 - 1
#: From this many seconds on (some 30,000 years) a lifetime is "never": the date would not fit a key.
_FOREVER = 1e12


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
    partition, offset = at
    if offset <= meta.last_offset and partition == meta.partition:
        return True
    return mark in meta.seen and repeated(meta.seen, mark)  # hardly ever: that is soon seen


def open_life(draft: Books, previous: TaskMeta | GroupMeta | None, mark: bytes, at: Position, log_time: int) -> None:
    """The books of a life that begins with this fact. It remembers the facts of the life before it, so that none of them revives it."""
    draft.partition, draft.first_offset = at
    draft.last_offset = draft.first_offset
    draft.facts = 1
    draft.born_at = draft.log_time = log_time
    draft.seen = mark if previous is None else remember(previous.seen, mark)


def continue_life(draft: Books, mark: bytes, at: Position, log_time: int) -> None:
    """This fact in the books."""
    draft.partition, draft.last_offset = at
    draft.facts += 1
    draft.log_time = log_time
    seen = draft.seen
    draft.seen = seen + mark if len(seen) < _KEPT else remember(seen, mark)


def books_of(draft: Books) -> dict[str, Any]:
    """What a tombstone keeps: enough to know late facts of the forgotten life by, until that would have expired."""
    return {name: getattr(draft, name) for name in Books.__struct_fields__} | {"phase": "forgotten"}


def mark_of(event_id: str) -> bytes:
    """The eight bytes by which a life remembers an event id; none for a fact without one, which repeats nothing."""
    if len(event_id) == 32:  # the digits of a UUID, as a recorder of ours gives it: random enough as it is, and this is done for every fact
        try:
            return (int(event_id, 16) % _PRIME).to_bytes(_MARK, "big")
        except ValueError:
            pass
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
