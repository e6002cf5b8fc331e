"""The history of one id, newest first, in pages that fit a message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from eventresults.codec.events import encode_event
from eventresults.view.base import Fact
from eventresults.view.shard import Shard


class HistoryPage(NamedTuple):
    """Facts, oldest first. `earlier` names where to go on with those before; empty: these were the first."""

    facts: list[Fact]
    earlier: list[int]


def page(shard: Shard, subject: str, starts: Sequence[int] | None, most_bytes: int) -> HistoryPage:
    """The latest facts of this id, or those that lead to `starts`, as far as they take `most_bytes`, or one fact more.

    An id may be a task's and a group's: two histories, told as one.
    """
    if starts is None:
        metas = (shard.task(subject), shard.group(subject))
        starts = [meta.last_offset for meta in metas if meta is not None]
    open_ends = [end for end in (_End.of(shard.history(subject, start)) for start in starts) if end is not None]
    facts: list[Fact] = []
    size = 0
    while open_ends and size <= most_bytes:
        latest = max(open_ends, key=lambda end: end.fact.position)
        facts.append(latest.fact)
        size += len(encode_event(latest.fact.event))
        before = _End.of(latest.before)
        open_ends = [end for end in (before if end is latest else end for end in open_ends) if end is not None]
    return HistoryPage(facts[::-1], [end.fact.position.offset for end in open_ends])


class _End(NamedTuple):
    """One history up to this fact."""

    fact: Fact
    before: Iterator[Fact]

    @classmethod
    def of(cls, history: Iterator[Fact]) -> _End | None:
        fact = next(history, None)
        return None if fact is None else cls(fact, history)
