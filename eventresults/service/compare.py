"""What two shards of one partition, folded up to the same position, disagree about."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from eventresults.codec import plain, rows
from eventresults.codec.events import decode_event
from eventresults.domain.events import GroupFact, TaskEvent, UnknownEvent
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.errors import EventCorrupt
from eventresults.projector import Lifetimes
from eventresults.view import keys
from eventresults.view.shard import Shard
from eventresults.view.sweep import due

Key = TypeVar("Key", bytes, int)
Value = TypeVar("Value")


class Difference(NamedTuple):
    """One thing that the live view and the fold of the log disagree about. `live` or `fresh` is None where it is missing.

    `field` is a field of the row, or "row" (it is missing), "listing", "history", "dead letter" or "projection" (the subject is then its
    name and a key).
    """

    subject: str
    field: str
    live: Any
    fresh: Any


class Picture:
    """The rows of a shard as they are at this call, to be read once, at leisure."""

    def __init__(self, shard: Shard) -> None:
        def scan(tag: bytes) -> Iterator[tuple[bytes, bytes]]:
            return shard.scan(tag, keys.after(tag))

        self.shard = shard
        self.states, self.groups, self.listing, self.segments, self.letters, self.projected = map(
            scan, (keys.STATE, keys.GROUP, keys.RECENT, keys.HISTORY, keys.DEAD, keys.PROJECTED)
        )


def differences(live: Picture, fresh: Picture, *, start: int, now: int, lifetimes: Lifetimes) -> Iterator[Difference]:
    """Compare, leaving out what began before the log's `start`, and what the sweep may have taken at the log time `now`."""
    return _Comparison(live, fresh, start, now, lifetimes).all()


class _Comparison:
    def __init__(self, live: Picture, fresh: Picture, start: int, now: int, lifetimes: Lifetimes) -> None:
        self._live = live
        self._fresh = fresh
        self._start = start
        self._now = now
        self._lifetimes = lifetimes

    def all(self) -> Iterator[Difference]:
        live, fresh = self._live, self._fresh
        for key, one, other in _side_by_side(live.states, fresh.states):
            yield from self._row(key[1:].decode(), one, other, rows.decode_task)
        for key, one, other in _side_by_side(live.groups, fresh.groups):
            yield from self._row(key[1:].decode(), one, other, rows.decode_group)
        for key, one, other in _side_by_side(live.listing, fresh.listing):
            subject = key[9:].decode()
            if (one is None) != (other is None) and self._comparable(fresh.shard.task(subject), live.shard.task(subject)):
                yield Difference(subject, "listing", one is not None, other is not None)
        for offset, mine, theirs in _side_by_side(self._entries(live), self._entries(fresh)):
            yield from self._entry(offset, mine, theirs)
        yield from self._projections()
        for key, one, other in _side_by_side(live.letters, fresh.letters):
            yield from self._letter(int.from_bytes(key[1:]), one, other)

    def _projections(self) -> Iterator[Difference]:
        """Their states; what they were before the log's start is not known, nor then what they are."""
        both = _side_by_side(self._live.projected, self._fresh.projected)
        for name, states in groupby(both, lambda row: keys.projected_name(row[0])):
            if self._start == 0 and self._is_run_in_both(name):
                for key, *found in states:
                    live, fresh = (None if raw is None else plain.unpack(raw) for raw in found)
                    if live != fresh:
                        yield Difference(f"{name}/{keys.projected_key(key)}", "projection", live, fresh)

    def _is_run_in_both(self, name: str) -> bool:
        """Whether a projection was folded up to here on both sides, by the same version, without failing."""
        marks = [head.projections.get(name) if (head := side.shard.head()) else None for side in (self._live, self._fresh)]
        return marks[0] is not None and marks[0] == marks[1] and "failed" not in marks[0]

    def _row(
        self, subject: str, one: bytes | None, other: bytes | None, decode: Callable[[bytes], TaskMeta | GroupMeta]
    ) -> Iterator[Difference]:
        if one == other:
            return
        live = decode(one) if one is not None else None
        fresh = decode(other) if other is not None else None
        if not self._comparable(live, fresh) and not self._comparable(fresh, live):
            return
        if live is None or fresh is None:
            yield Difference(subject, "row", live and _said(live), fresh and _said(fresh))
            return
        for field in sorted(live.__struct_fields__):
            mine, theirs = getattr(live, field), getattr(fresh, field)
            # A life that followed a forgetting remembers facts of the one before, which the log may no longer hold.
            if mine != theirs and not (field == "seen" and self._start > 0 and mine.endswith(theirs)):
                yield Difference(subject, field, mine, theirs)

    def _comparable(self, meta: TaskMeta | GroupMeta | None, other: TaskMeta | GroupMeta | None) -> bool:
        """Whether this is a life that both sides must tell alike, as far as the other side's row (if it is there) says."""
        if meta is None or not self._is_told(meta):
            return False
        return other is None or self._is_told(other)

    def _is_told(self, meta: TaskMeta | GroupMeta) -> bool:
        return meta.first_offset >= self._start and due(meta, self._lifetimes.history) > self._now

    def _entries(self, picture: Picture) -> Iterator[tuple[int, rows.Entry]]:
        for _, raw in picture.segments:
            for entry in rows.decode_segment(raw):
                if entry[1] >= self._start:
                    previous = entry[0] if entry[0] >= self._start else -1
                    yield entry[1], (previous, *entry[1:])

    def _entry(self, offset: int, one: rows.Entry | None, other: rows.Entry | None) -> Iterator[Difference]:
        known = one or other
        if one == other or known is None:
            return
        try:
            event = decode_event(known[3])
        except EventCorrupt:  # of an unknown kind, and told by its key alone, which is not known here
            subject, told = f"{self._live.shard.partition}:{offset}", False
        else:
            subject, told = event.subject, self._tells(event, offset)
        if told or (one is not None and other is not None):
            yield Difference(subject, "history", one and one[:3], other and other[:3])

    def _tells(self, event: TaskEvent | UnknownEvent, offset: int) -> bool:
        """Whether this fact belongs to a life that both sides must tell of."""
        fresh, live = self._fresh.shard, self._live.shard
        meta: TaskMeta | GroupMeta | None = fresh.task(event.subject)
        other: TaskMeta | GroupMeta | None = live.task(event.subject)
        if isinstance(event, GroupFact) or (isinstance(event, UnknownEvent) and meta is None):
            meta, other = fresh.group(event.subject), live.group(event.subject)
        return meta is not None and self._comparable(meta, other) and meta.first_offset <= offset <= meta.last_offset

    def _letter(self, offset: int, one: bytes | None, other: bytes | None) -> Iterator[Difference]:
        if one == other or offset < self._start:
            return
        live, fresh = (raw and self._live.shard.dead_letter(raw) for raw in (one, other))
        known = live or fresh
        if known and known.log_time + self._lifetimes.unfinished + self._lifetimes.history > self._now:
            yield Difference(f"{self._live.shard.partition}:{offset}", "dead letter", live and live.reason, fresh and fresh.reason)


def _said(meta: TaskMeta | GroupMeta) -> str:
    return meta.state if isinstance(meta, TaskMeta) else meta.phase


def _side_by_side(one: Iterable[tuple[Key, Value]], other: Iterable[tuple[Key, Value]]) -> Iterator[tuple[Key, Value | None, Value | None]]:
    """Walk two streams in key order: each key with what either has there."""
    merged = heapq.merge(_sided(one, 0), _sided(other, 1), key=itemgetter(0))
    for key, group in groupby(merged, key=itemgetter(0)):
        found: list[Value | None] = [None, None]
        for _, side, value in group:
            found[side] = value
        yield key, found[0], found[1]


def _sided(stream: Iterable[tuple[Key, Value]], side: int) -> Iterator[tuple[Key, int, Value]]:
    for key, value in stream:
        yield key, side, value
