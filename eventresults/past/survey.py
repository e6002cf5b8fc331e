"""All tasks of a shard at a moment: how many were in which state, and the newest of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Any, Final, NamedTuple

from eventresults.codec import rows
from eventresults.domain.fold import UNFINISHED_EXPIRES
from eventresults.domain.meta import TaskMeta
from eventresults.past.fold import folded
from eventresults.view import keys
from eventresults.view.shard import Shard

#: Entries of history kept at hand: tasks whose ids are neighbours often have facts that are, too.
ENTRIES: Final = 20_000


class Cut(NamedTuple):
    """A moment as one shard knows it: up to and with a log time (ms), or an offset."""

    clock: int | None = None
    offset: int | None = None

    def holds(self, offset: int, log_time: int) -> bool:
        """Whether what stands there had been told by then."""
        return log_time <= self.clock if self.clock is not None else self.offset is not None and offset <= self.offset


@dataclass(frozen=True)
class Survey:
    """Tasks at a moment: their number, their numbers by state, and the newest of them (by the log time of their first fact)."""

    total: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    items: Sequence[TaskMeta] = ()


def survey(
    shard: Shard,
    cut: Cut,
    *,
    state: str | None = None,
    name: str | None = None,
    limit: int = 100,
    unfinished_expires: int = UNFINISHED_EXPIRES,
) -> Survey:
    """The tasks that existed in this shard, which must hold each one's whole history. `state` and `name` narrow all of the answer."""
    counts: Counter[str] = Counter()

    def wanted() -> Iterator[TaskMeta]:
        for meta in tasks_at(shard, cut, unfinished_expires=unfinished_expires):
            if state in (None, meta.state) and name in (None, meta.name):
                counts[meta.state] += 1
                yield meta

    items = nlargest(max(limit, 1), wanted(), key=_newest)[:limit]  # of none, it would look at none
    return Survey(counts.total(), dict(counts), items)


def merged(surveys: Iterable[Survey], limit: int) -> Survey:
    """One of many shards'."""
    counts: Counter[str] = Counter()
    items: list[TaskMeta] = []
    for one in surveys:
        counts.update(one.counts)
        items += one.items
    return Survey(counts.total(), dict(counts.most_common()), nlargest(limit, items, key=_newest))


def tasks_at(shard: Shard, cut: Cut, *, unfinished_expires: int = UNFINISHED_EXPIRES) -> Iterator[TaskMeta]:
    """Every task that existed at this moment, as it was. Only what went on after it is folded again."""
    read: dict[int, rows.Entry] = {}
    for _, raw in shard.scan(keys.STATE, keys.after(keys.STATE)):
        meta: TaskMeta | None = rows.decode_task(raw)
        assert meta is not None
        if not cut.holds(meta.last_offset, meta.log_time):
            if len(read) > ENTRIES:
                read.clear()
            history = shard.history(meta.task_id, meta.last_offset, read=read)
            facts = [fact for fact in history if cut.holds(fact.position.offset, fact.log_time)]
            meta = folded(reversed(facts), unfinished_expires=unfinished_expires)
        if meta is not None and meta.exists and not (cut.clock is not None and meta.expired(cut.clock)):
            yield meta


def _newest(meta: TaskMeta) -> Any:
    return meta.born_at, meta.task_id
