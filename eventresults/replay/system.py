"""What was known earlier, of one task or of all: from the view while it holds all of that moment, else from the log or its archive."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

from eventresults.domain.position import Position
from eventresults.log.base import Log, LogInfo
from eventresults.log.stretch import first_at
from eventresults.past import Histories, Source, Survey, TimeTravel
from eventresults.past.survey import Cut, merged, survey
from eventresults.projector import Lifetimes
from eventresults.service.afresh import Progress, fold_to
from eventresults.service.shards import open_shards
from eventresults.service.surveys import MOST_TASKS, read_survey
from eventresults.view.base import Freshness, Store, TaskPage

#: A moment of all partitions: a log time, or a position of each.
SystemWhen = datetime | Mapping[int, int]


class Surveyed(Histories, Protocol):
    """A view that can be asked of all its tasks."""

    def recent(self, *, limit: int = 100, freshness: Freshness = "default") -> TaskPage:
        """See `ViewReader.recent`."""

    def ask(self, what: str, timeout: float, **arguments: Any) -> Any:
        """See `eventresults.service.answers`."""


@dataclass(frozen=True)
class Picture(Survey):
    """All tasks at a moment, and who says so."""

    source: Source = "view"


class SystemTravel(TimeTravel):
    """Answers what was known, of one task (`task`) and of all (`state`). Any thread.

    `scratch` gives a folder for a view that is folded from the log when the live one does not reach back so far; `make_store` opens its
    stores. `timeout` (seconds) bounds each question to the log, `patience` a survey by the view's owner.
    """

    def __init__(
        self,
        view: Surveyed,
        log: Log,
        *,
        lifetimes: Lifetimes,
        make_store: Callable[[Path], Store],
        scratch: Callable[[], AbstractContextManager[str | Path]] = tempfile.TemporaryDirectory,
        timeout: float = 10.0,
        patience: float = 600.0,
        older: Callable[[], Log] | None = None,
    ) -> None:
        super().__init__(view, log, complete_since=self._since, unfinished_expires=lifetimes.unfinished, timeout=timeout, older=older)
        self._surveyed: Final = view
        self._lifetimes = lifetimes
        self._make_store = make_store
        self._scratch = scratch
        self._patience = patience

    def state(
        self, when: SystemWhen, *, state: str | None = None, name: str | None = None, limit: int = 100, progress: Progress | None = None
    ) -> Picture:
        """Every task that existed at this moment, counted by state, and the newest `limit` (at most 10,000) of them.

        `state` and `name` narrow both. `progress` is told how far the log is folded, if it must be. Raises ValueError for a time without
        a zone and for positions that do not name each partition once, `PastGone` when the moment lies before what the log still holds, and
        what the view and the log raise.
        """
        if isinstance(when, datetime) and when.tzinfo is None:
            raise ValueError(f"state({when!r}) needs a time zone: datetime(…, tzinfo=UTC), or when.astimezone()")
        reach = self.reach()
        log, info, begins = reach
        if not isinstance(when, datetime) and when.keys() != info.starts.keys():
            raise ValueError(f"name a position of each of the {info.partitions} partitions of this log, or ask by time")
        moments = {p: when if isinstance(when, datetime) else Position(p, when[p]) for p in info.starts}
        for partition, moment in moments.items():
            reach.check(moment, partition)
        limit = min(limit, MOST_TASKS)
        clock = int(when.timestamp() * 1000) if isinstance(when, datetime) else None
        offsets = None if isinstance(when, datetime) else dict(when)
        # A view that is younger than the log's start may never have held what the archive alone can tell.
        if not any(reach.is_archived(moment, partition) for partition, moment in moments.items()):
            self._surveyed.recent(limit=1, freshness="latest")
            found = self._surveyed.ask("survey", self._patience, clock=clock, offsets=offsets, state=state, name=name, limit=limit)
            if all(found.get(partition) is not None for partition in info.starts):
                return _picture(merged([read_survey(one) for one in found.values()], limit), "view")
        source: Source = "archive" if any(start < begins[partition] for partition, start in info.starts.items()) else "log"
        folded = self._folded(log, Cut(clock), offsets, info, state=state, name=name, limit=limit, progress=progress)
        return _picture(folded, source)

    def _folded(
        self,
        log: Log,
        cut: Cut,
        offsets: Mapping[int, int] | None,
        info: LogInfo,
        *,
        state: str | None,
        name: str | None,
        limit: int,
        progress: Progress | None,
    ) -> Survey:
        """Folded up to there, in a view of its own."""
        cuts = {p: cut if offsets is None else Cut(offset=offsets[p]) for p in info.starts}
        ends = {p: self._end(log, p, one, info) for p, one in cuts.items()}
        with self._scratch() as folder:
            opened = open_shards(lambda partition: self._make_store(Path(folder) / str(partition)), info)
            with closing(opened):
                fold_to(log, opened, ends, self._lifetimes, progress)
                surveys = [
                    survey(shard, cuts[p], state=state, name=name, limit=limit, unfinished_expires=self._lifetimes.unfinished)
                    for p, shard in opened.shards.items()
                ]
        return merged(surveys, limit)

    def _end(self, log: Log, partition: int, cut: Cut, info: LogInfo) -> int:
        start, end = info.starts[partition], info.ends[partition]
        if cut.clock is None:
            assert cut.offset is not None
            return max(min(cut.offset + 1, end), start)
        return first_at(log, partition, start, end, cut.clock + 1)

    def _since(self, partition: int) -> int:
        stats = self._surveyed.ask("stats", self._timeout)
        return max((one["complete_since"] for one in stats["partitions"] if one["partition"] == partition), default=2**63)


def _picture(found: Survey, source: Source) -> Picture:
    return Picture(found.total, found.counts, found.items, source)
