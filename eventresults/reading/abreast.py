"""How far a live view must be before it may answer: with this process's own facts, up to a position, or up to the end of the log.

Every wait has a deadline on the monotonic clock, after which it raises `ViewStale` with what held it up.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from time import monotonic, sleep

from eventresults.codec.ids import key_of
from eventresults.domain.position import Position
from eventresults.errors import LogError, TopicMisconfigured, ViewStale
from eventresults.log.base import Log
from eventresults.log.own import OwnWrites
from eventresults.log.question import Question
from eventresults.reading.own import needed_of, needed_of_all
from eventresults.view.base import Freshness
from eventresults.view.live import LiveView

#: Before asking again for a topic that the brokers did not know.
MISSING_PAUSE_SECONDS = 0.2


class Abreast:
    """Brings a live view of this process as far as answers need it. Any thread."""

    def __init__(self, view: LiveView, log: Log, own: OwnWrites, partitions: Sequence[int]) -> None:
        """`partitions`: all of the log; the view of a group's member holds some of them, which come and go."""
        self._view = view
        self._log = log
        self._own = own
        self._partitions = partitions
        self._question = Question(log, partitions)
        self._logs_before = view.logs_before
        own.follow(lambda: {partition: view.position(partition) for partition in view.partitions})

    def partition(self, subject: str) -> int:
        """The partition of this id. Raises what says where else it is to be asked for, or that the log has other partitions now."""
        partition = self._log.partition_for(key_of(subject))
        if partition not in self._view.partitions:
            if partition in self._partitions:
                raise self._view.elsewhere(partition)
            error = repartitioned(self._log.url, len(self._view.partitions), partition + 1)
            self._view.doubt(error)
            raise error
        return partition

    def bringing(self, partitions: Sequence[int], freshness: Freshness, deadline: float) -> Callable[[], None] | None:
        """What brings the view as far as this freshness asks for; None where nothing need be done."""
        if freshness == "applied":
            return None
        if isinstance(freshness, Position):
            ends = self.behind(freshness)
            return lambda: self._await(ends, deadline, f"the projector has not folded {freshness} yet")
        return lambda: self._await_end(partitions, deadline)

    def await_own(self, subjects: Sequence[str], deadline: float) -> None:
        """First the unacknowledged facts of this process, then the positions of those acknowledged."""
        own = self._own
        concerning = [subject for subject in subjects if own.concerns(subject)]
        if not concerning:
            return
        for subject in concerning:
            self.partition(subject)  # refuses ids of partitions that this view does not have
        self._await_folded(needed_of(own, self._log, concerning, deadline), deadline)
        positions = {partition: self._view.position(partition) for partition in self._view.partitions}
        for subject in concerning:
            own.folded(subject, positions)

    def await_all_own(self, deadline: float) -> None:
        """As `await_own`, of all facts of this process."""
        self._await_folded(needed_of_all(self._own, deadline), deadline)

    def reach(self, needed: Mapping[int, int], timeout: float) -> None:
        """Wait until the view holds everything before these offsets. Raises `ViewStale` after `timeout` seconds."""
        if needed:
            unknown = needed.keys() - set(self._view.partitions)
            if unknown & set(self._partitions):
                raise self._view.elsewhere(min(unknown))
            if unknown:
                raise ValueError(f"this view has no partitions {sorted(unknown)}, only {list(self._view.partitions)}")
            self._await(dict(needed), monotonic() + timeout, "the projector has not folded the asker's own facts yet")

    def behind(self, position: Position) -> dict[int, int]:
        """The offset before which this position lies, as `LiveView.wait` takes it. Raises ValueError for a partition that is not here."""
        if position.partition not in self._view.partitions:
            raise ValueError(f"{position} lies in none of the partitions of this view, which are {list(self._view.partitions)}")
        return {position.partition: position.offset + 1}

    def stale(self, ends: Mapping[int, int], reason: str, rate: float) -> ViewStale:
        """The error with its facts; `rate` is how fast the view moved, in records per second."""
        trouble = self._view.trouble
        if trouble is not None:
            reason = f"{reason}; the projector is held up: {trouble}"
        behind = max(ends.items(), key=lambda item: item[1] - self._view.position(item[0]), default=None)
        facts: dict[str, int | None] = {"partition": None, "position": None, "end": None, "lag": None}
        eta = None
        where = ""
        if behind is not None:
            partition, end = behind
            position = self._view.position(partition)
            lag = end - position
            facts = {"partition": partition, "position": position, "end": end, "lag": lag}
            where = f" Partition {partition} stands at {position:,} of {end:,} ({lag:,} records behind)."
            if rate > 0 and lag > 0:
                eta = lag / rate
                where += f" At its present pace it is there in about {eta:.3g} s."
        return ViewStale(
            f"No answer new enough in time: {reason}.{where} Wait longer (timeout, read_timeout) or accept freshness='applied'.",
            **facts,
            eta=eta,
            reason=reason,
        )

    def _await_folded(self, needed: dict[int, int], deadline: float) -> None:
        if self._logs_before != self._view.logs_before:
            self._logs_before = self._view.logs_before
            self._own.forget_acknowledged()
            return
        self._await(needed, deadline, "the projector has not folded this process's own facts yet")

    def _await_end(self, partitions: Sequence[int], deadline: float) -> None:
        if isinstance(self._view.trouble, TopicMisconfigured):
            raise copy.copy(self._view.trouble)
        before = {partition: self._view.position(partition) for partition in partitions}
        answer = self._ask(deadline)
        ends = {partition: answer[partition] for partition in partitions}
        if any(ends[partition] < position for partition, position in before.items()):
            stale = self.stale(
                ends, "the log ends before this view does: it lost its tail or was made anew, and the view is rebuilt from it", 0.0
            )
            self._view.doubt(stale)
            raise stale
        self._await(ends, deadline, "the projector has not folded up to the end of the log yet")

    def _ask(self, deadline: float) -> Mapping[int, int]:
        while True:
            try:
                return self._question.ask(deadline)
            except TopicMisconfigured as error:
                # A broker that has only just come back knows no topic for a moment.
                if error.problems != ["missing"] or monotonic() + MISSING_PAUSE_SECONDS >= deadline:
                    raise
                sleep(MISSING_PAUSE_SECONDS)
            except LogError as error:
                raise self.stale({}, f"the end of the log cannot be asked for: {error}", 0.0) from error

    def _await(self, ends: Mapping[int, int], deadline: float, reason: str) -> None:
        begun = monotonic()
        before = {partition: self._view.position(partition) for partition in ends}
        if not self._view.wait(ends, deadline):
            seconds = monotonic() - begun
            folded = sum(self._view.position(partition) - position for partition, position in before.items())
            raise self.stale(ends, reason, folded / seconds if seconds > 0 else 0.0)


def repartitioned(url: str, had: int, has: int) -> TopicMisconfigured:
    """The error for a log that has (at least) another number of partitions than the view was made with: keys have moved."""
    return TopicMisconfigured(
        f"{url} had {had} partitions when this view was made and has {has} now, so that facts of one task lie in two partitions, out of "
        "order. Partitions must never be added in place: create a new topic with the number you want (`eventresults topic init`), copy the "
        "facts in order (`eventresults events cat | eventresults events append`), and move to it.",
        topic=url,
        problems=[f"partitions changed from {had} to {has}"],
    )
