"""Freshness: how new an answer is (a live view and a log's end make a `ViewReader` that keeps its promises).

A SUCCESS is served at once, for no later fact of the same life changes it. Any other answer waits until the view has folded up to
an end of the log that was asked for after the read began. Own writes are seen on every path.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic, sleep, time
from typing import TypeVar

from eventresults.codec.ids import key_of
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position
from eventresults.domain.states import TaskState
from eventresults.errors import Closed, LogError, TopicMisconfigured, ViewCorrupt, ViewStale
from eventresults.log.base import Log
from eventresults.log.own import OwnWrites
from eventresults.log.question import Question
from eventresults.reading.own import needed_of, needed_of_all
from eventresults.view import history, listing, openrows, projected
from eventresults.view.base import Fact, Freshness, Listener, Openness, OpenPage, ProjectedPage, Subscription, TaskPage, Wanted
from eventresults.view.history import HistoryPage
from eventresults.view.live import LiveView
from eventresults.view.shard import Shard

T = TypeVar("T")
Shards = Mapping[int, Shard]

#: More bytes than any history takes.
_ALL = 2**63
#: Before asking again for a topic that the brokers did not know.
MISSING_PAUSE_SECONDS = 0.2


class FreshReader:
    """A `ViewReader` over a live view of this process. Any thread.

    `read_timeout` (seconds) bounds every wait; `clock` gives milliseconds since the epoch, to hide what has expired. Beside what
    `ViewReader` names, reads raise `TopicMisconfigured` when the log is not what the view was made from and no rebuild would help.
    """

    def __init__(
        self,
        view: LiveView,
        log: Log,
        own: OwnWrites,
        *,
        read_timeout: float = 10.0,
        clock: Callable[[], int] = lambda: int(time() * 1000),
        partitions: Sequence[int] | None = None,
    ) -> None:
        self._view = view
        self._log = log
        self._own = own
        self._read_timeout = read_timeout
        self._now = clock
        own.follow(lambda: {partition: view.position(partition) for partition in view.partitions})
        #: All partitions of the log; the view of a group's member holds some of them, which come and go.
        self._partitions = view.partitions if partitions is None else partitions
        self._question = Question(log, self._partitions)
        self._logs_before = view.logs_before

    def get(self, task_id: str, *, freshness: Freshness = "default", timeout: float | None = None) -> TaskMeta | None:
        """See `ViewReader.get`."""
        partition = self._partition(task_id)
        deadline = self._deadline(timeout)
        if self._own.concerns(task_id):
            self._await_own([task_id], deadline)

        def ask(shards: Shards) -> TaskMeta | None:
            return shards[partition].task(task_id)

        if freshness == "default":
            meta = self._alive(self._read(ask, deadline), self._now())
            if meta is not None and meta.state == TaskState.SUCCESS:
                return meta
        return self._alive(self._read(ask, deadline, self._bringing([partition], freshness, deadline)), self._now())

    def get_many(
        self, task_ids: Sequence[str], *, freshness: Freshness = "default", timeout: float | None = None
    ) -> dict[str, TaskMeta | None]:
        """See `ViewReader.get_many`."""
        deadline = self._deadline(timeout)
        found: dict[str, TaskMeta | None] = dict.fromkeys(task_ids)
        missing = self._by_partition(found)
        self._await_own(task_ids, deadline)
        if freshness == "default":
            found.update(self._look_up(missing, deadline, None))
            success = TaskState.SUCCESS.value
            open_ids = {one for one, meta in found.items() if meta is None or meta.state != success}
            missing = {number: left for number, ids in missing.items() if (left := [one for one in ids if one in open_ids])}
        if missing:
            found.update(self._look_up(missing, deadline, self._bringing(sorted(missing), freshness, deadline)))
        return found

    def group(
        self, group_id: str, *, freshness: Freshness = "default", timeout: float | None = None, brief: bool = False
    ) -> GroupMeta | None:
        """See `ViewReader.group`."""
        meta = self._of_subject(group_id, freshness, timeout, lambda shard: shard.group(group_id))
        if meta is None or not meta.exists or meta.expired(self._now()):
            return None
        return meta.brief if brief else meta

    def history(self, subject: str, *, freshness: Freshness = "default", timeout: float | None = None) -> list[Fact]:
        """See `ViewReader.history`."""
        return self._of_subject(subject, freshness, timeout, lambda shard: history.page(shard, subject, None, _ALL)).facts

    def history_page(
        self, subject: str, starts: Sequence[int] | None, most_bytes: int, *, freshness: Freshness, timeout: float | None
    ) -> HistoryPage:
        """The latest part of what `history` tells, or that which leads to `starts`: see `eventresults.view.history.page`."""
        return self._of_subject(subject, freshness, timeout, lambda shard: history.page(shard, subject, starts, most_bytes))

    def recent(
        self,
        *,
        state: str | None = None,
        name: str | None = None,
        since: int | None = None,
        until: int | None = None,
        limit: int = 100,
        cursor: str | None = None,
        freshness: Freshness = "default",
        timeout: float | None = None,
        partitions: Sequence[int] | None = None,
    ) -> TaskPage:
        """See `ViewReader.recent`. With `partitions`, of these alone."""
        deadline = self._deadline(timeout)
        listed = self._view.partitions if partitions is None else partitions
        self._await_folded(needed_of_all(self._own, deadline), deadline)
        return self._read(
            lambda shards: listing.recent(
                [shards[partition] for partition in listed],
                state=state,
                name=name,
                since=since,
                until=until,
                limit=limit,
                cursor=cursor,
                now=self._now(),
            ),
            deadline,
            self._bringing(listed, freshness, deadline),
        )

    def opened(
        self,
        kind: Openness,
        *,
        limit: int = 1_000,
        cursor: str | None = None,
        freshness: Freshness = "default",
        timeout: float | None = None,
        partitions: Sequence[int] | None = None,
    ) -> OpenPage:
        """See `ViewReader.opened`. With `partitions`, of these alone."""
        deadline = self._deadline(timeout)
        listed = self._view.partitions if partitions is None else partitions
        self._await_folded(needed_of_all(self._own, deadline), deadline)
        return self._read(
            lambda shards: openrows.opened([shards[partition] for partition in listed], kind, limit=limit, cursor=cursor, now=self._now()),
            deadline,
            self._bringing(listed, freshness, deadline),
        )

    def projected(
        self, wanted: Wanted, *, freshness: Freshness = "default", timeout: float | None = None, partitions: Sequence[int] | None = None
    ) -> ProjectedPage:
        """See `ViewReader.projected`. With `partitions`, of these alone."""
        deadline = self._deadline(timeout)
        view = self._view
        listed = view.partitions if partitions is None else partitions
        self._await_folded(needed_of_all(self._own, deadline), deadline)
        while True:
            before = view.shards
            found = self._read(
                lambda shards: projected.look(wanted, view.projections, {partition: shards[partition] for partition in listed}),
                deadline,
                self._bringing(listed, freshness, deadline),
            )
            if found is not None:
                return found
            if not view.wait_for_others(before, deadline):
                how_far = "" if view.building is None else " ({:,} of {:,} records)".format(*view.building)
                raise self._stale({}, f"the projection {wanted.name!r} is being built from the log{how_far}", 0.0)

    def subscribe(self, subjects: Iterable[str], listener: Listener) -> Subscription:
        """See `ViewReader.subscribe`."""
        return self._view.subscribe(subjects, listener)

    def unsubscribe(self, subjects: Iterable[str], listener: Listener) -> None:
        """See `ViewReader.unsubscribe`."""
        self._view.listeners.remove(tuple(subjects), listener)

    def open_revokes(self, listener: Listener) -> Subscription:
        """See `ViewReader.open_revokes`."""
        return self._view.open_revokes(listener)

    def wait_until(self, position: Position, timeout: float | None = None) -> bool:
        """Wait until the view has folded this position; False when `timeout` seconds (None: `read_timeout`) were not enough."""
        return self._view.wait(self._behind(position), monotonic() + (self._read_timeout if timeout is None else timeout))

    def close(self) -> None:
        """Close the view that this reads. Idempotent."""
        self._view.close()

    # For those who ask from afar

    def at_once(self, task_ids: Sequence[str], freshness: Freshness) -> list[TaskMeta | None] | None:
        """What `get_many` would answer, in order of the ids, if it can be had without waiting for anything; else None."""
        if freshness not in {"default", "applied"}:
            return None
        shards = self._view.shards
        now = self._now()
        found = []
        for task_id in task_ids:
            meta = shards[self._partition(task_id)].task(task_id)
            if freshness == "default" and (meta is None or meta.state != TaskState.SUCCESS or meta.expired(now)):
                return None
            found.append(self._alive(meta, now))
        return found if self._view.shards is shards else None

    def reach(self, needed: Mapping[int, int], timeout: float) -> None:
        """Wait until the view holds everything before these offsets. Raises `ViewStale` after `timeout` seconds."""
        if needed:
            unknown = needed.keys() - set(self._view.partitions)
            if unknown & set(self._partitions):
                raise self._view.elsewhere(min(unknown))
            if unknown:
                raise ValueError(f"this view has no partitions {sorted(unknown)}, only {list(self._view.partitions)}")
            self._await(dict(needed), monotonic() + timeout, "the projector has not folded the asker's own facts yet")

    # Answers

    def _read(self, ask: Callable[[Shards], T], deadline: float, bring: Callable[[], None] | None = None) -> T:
        """Bring the view as far as the answer needs, then ask it; both of one generation."""
        while True:
            shards = self._view.shards
            if bring is not None:
                bring()
            try:
                answer = ask(shards)
            except Closed:
                if not self._view.wait_for_others(shards, deadline):
                    raise self._stale({}, "the view is being opened again", 0.0) from None
                continue
            except ViewCorrupt as error:
                if self._view.shards is shards:
                    self._view.doubt(error)
                raise
            if self._view.shards is shards:
                return answer

    def _of_subject(self, subject: str, freshness: Freshness, timeout: float | None, ask: Callable[[Shard], T]) -> T:
        partition = self._partition(subject)
        deadline = self._deadline(timeout)
        self._await_own([subject], deadline)
        return self._read(lambda shards: ask(shards[partition]), deadline, self._bringing([partition], freshness, deadline))

    def _look_up(
        self, by_partition: Mapping[int, Sequence[str]], deadline: float, bring: Callable[[], None] | None
    ) -> dict[str, TaskMeta | None]:
        def ask(shards: Shards) -> list[tuple[Sequence[str], dict[str, TaskMeta]]]:
            return [(ids, shards[partition].tasks(ids)) for partition, ids in by_partition.items()]

        answers = self._read(ask, deadline, bring)
        alive, now = self._alive, self._now()
        return {task_id: alive(metas.get(task_id), now) for ids, metas in answers for task_id in ids}

    @staticmethod
    def _alive(meta: TaskMeta | None, now: int) -> TaskMeta | None:
        return meta if meta is not None and meta.exists and not meta.expired(now) else None

    # Waiting

    def _deadline(self, timeout: float | None) -> float:
        return monotonic() + (self._read_timeout if timeout is None else min(timeout, self._read_timeout))

    def _await_own(self, subjects: Sequence[str], deadline: float) -> None:
        """First the unacknowledged facts of this process, then the positions of those acknowledged."""
        own = self._own
        concerning = [subject for subject in subjects if own.concerns(subject)]
        if not concerning:
            return
        for subject in concerning:
            self._partition(subject)  # refuses ids of partitions that this view does not have
        self._await_folded(needed_of(own, self._log, concerning, deadline), deadline)
        positions = {partition: self._view.position(partition) for partition in self._view.partitions}
        for subject in concerning:
            own.folded(subject, positions)

    def _await_folded(self, needed: dict[int, int], deadline: float) -> None:
        if self._logs_before != self._view.logs_before:
            self._logs_before = self._view.logs_before
            self._own.forget_acknowledged()
            return
        self._await(needed, deadline, "the projector has not folded this process's own facts yet")

    def _bringing(self, partitions: Sequence[int], freshness: Freshness, deadline: float) -> Callable[[], None] | None:
        """What brings the view as far as this freshness asks for; None where nothing need be done."""
        if freshness == "applied":
            return None
        if isinstance(freshness, Position):
            ends = self._behind(freshness)
            return lambda: self._await(ends, deadline, f"the projector has not folded {freshness} yet")
        return lambda: self._await_end(partitions, deadline)

    def _await_end(self, partitions: Sequence[int], deadline: float) -> None:
        if isinstance(self._view.trouble, TopicMisconfigured):
            raise copy.copy(self._view.trouble)
        before = {partition: self._view.position(partition) for partition in partitions}
        answer = self._ask(deadline)
        ends = {partition: answer[partition] for partition in partitions}
        if any(ends[partition] < position for partition, position in before.items()):
            stale = self._stale(
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
                raise self._stale({}, f"the end of the log cannot be asked for: {error}", 0.0) from error

    def _await(self, ends: Mapping[int, int], deadline: float, reason: str) -> None:
        begun = monotonic()
        before = {partition: self._view.position(partition) for partition in ends}
        if not self._view.wait(ends, deadline):
            seconds = monotonic() - begun
            folded = sum(self._view.position(partition) - position for partition, position in before.items())
            raise self._stale(ends, reason, folded / seconds if seconds > 0 else 0.0)

    def _by_partition(self, subjects: Iterable[str]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        partition = self._partition
        for subject in subjects:
            number = partition(subject)
            if number in found:
                found[number].append(subject)
            else:
                found[number] = [subject]
        return found

    def _partition(self, subject: str) -> int:
        partition = self._log.partition_for(key_of(subject))
        if partition not in self._view.partitions:
            if partition in self._partitions:
                raise self._view.elsewhere(partition)
            error = repartitioned(self._log.url, len(self._view.partitions), partition + 1)
            self._view.doubt(error)
            raise error
        return partition

    def _behind(self, position: Position) -> dict[int, int]:
        if position.partition not in self._view.partitions:
            raise ValueError(f"{position} lies in none of the partitions of this view, which are {list(self._view.partitions)}")
        return {position.partition: position.offset + 1}

    def _stale(self, ends: Mapping[int, int], reason: str, rate: float) -> ViewStale:
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


def repartitioned(url: str, had: int, has: int) -> TopicMisconfigured:
    """The error for a log that has (at least) another number of partitions than the view was made with: keys have moved."""
    return TopicMisconfigured(
        f"{url} had {had} partitions when this view was made and has {has} now, so that facts of one task lie in two partitions, out of "
        "order. Partitions must never be added in place: create a new topic with the number you want (`eventresults topic init`), copy the "
        "facts in order (`eventresults events cat | eventresults events append`), and move to it.",
        topic=url,
        problems=[f"partitions changed from {had} to {has}"],
    )
