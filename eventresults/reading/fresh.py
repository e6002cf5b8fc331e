"""Freshness: how new an answer is (a live view and a log's end make a `ViewReader` that keeps its promises).

A SUCCESS is served at once, for no later fact of the same life changes it. Any other answer waits until the view has folded up to
an end of the log that was asked for after the read began. Own writes are seen on every path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic, time
from typing import TypeVar

from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position
from eventresults.domain.states import TaskState
from eventresults.errors import Closed, ViewCorrupt
from eventresults.log.base import Log
from eventresults.log.own import OwnWrites
from eventresults.reading.abreast import Abreast
from eventresults.view import history, listing, openrows, projected
from eventresults.view.base import Fact, Freshness, Listener, Openness, OpenPage, ProjectedPage, Subscription, TaskPage, Wanted
from eventresults.view.history import HistoryPage
from eventresults.view.live import LiveView
from eventresults.view.shard import Shard

T = TypeVar("T")
Shards = Mapping[int, Shard]

#: More bytes than any history takes.
_ALL = 2**63


class FreshReader:
    """A `ViewReader` over a live view of this process. Any thread.

    `read_timeout` (seconds) bounds every wait; `clock` gives milliseconds since the epoch, to hide what has expired. Beside what
    `ViewReader` names, reads raise `TopicMisconfigured` when the log is not what the view was made from and no rebuild would help.
    `partitions`: all of the log, where the view holds some of them, which come and go.
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
        self._own = own
        self._read_timeout = read_timeout
        self._now = clock
        self._abreast = Abreast(view, log, own, view.partitions if partitions is None else partitions)

    def get(self, task_id: str, *, freshness: Freshness = "default", timeout: float | None = None) -> TaskMeta | None:
        """See `ViewReader.get`."""
        partition = self._abreast.partition(task_id)
        deadline = self._deadline(timeout)
        if self._own.concerns(task_id):
            self._abreast.await_own([task_id], deadline)

        def ask(shards: Shards) -> TaskMeta | None:
            return shards[partition].task(task_id)

        if freshness == "default":
            meta = self._alive(self._read(ask, deadline), self._now())
            if meta is not None and meta.state == TaskState.SUCCESS:
                return meta
        return self._alive(self._read(ask, deadline, self._abreast.bringing([partition], freshness, deadline)), self._now())

    def get_many(
        self, task_ids: Sequence[str], *, freshness: Freshness = "default", timeout: float | None = None
    ) -> dict[str, TaskMeta | None]:
        """See `ViewReader.get_many`."""
        deadline = self._deadline(timeout)
        found: dict[str, TaskMeta | None] = dict.fromkeys(task_ids)
        missing = self._by_partition(found)
        self._abreast.await_own(task_ids, deadline)
        if freshness == "default":
            found.update(self._look_up(missing, deadline, None))
            success = TaskState.SUCCESS.value
            open_ids = {one for one, meta in found.items() if meta is None or meta.state != success}
            missing = {number: left for number, ids in missing.items() if (left := [one for one in ids if one in open_ids])}
        if missing:
            found.update(self._look_up(missing, deadline, self._abreast.bringing(sorted(missing), freshness, deadline)))
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
        self._abreast.await_all_own(deadline)
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
            self._abreast.bringing(listed, freshness, deadline),
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
        self._abreast.await_all_own(deadline)
        return self._read(
            lambda shards: openrows.opened([shards[partition] for partition in listed], kind, limit=limit, cursor=cursor, now=self._now()),
            deadline,
            self._abreast.bringing(listed, freshness, deadline),
        )

    def projected(
        self, wanted: Wanted, *, freshness: Freshness = "default", timeout: float | None = None, partitions: Sequence[int] | None = None
    ) -> ProjectedPage:
        """See `ViewReader.projected`. With `partitions`, of these alone."""
        deadline = self._deadline(timeout)
        view = self._view
        listed = view.partitions if partitions is None else partitions
        self._abreast.await_all_own(deadline)
        while True:
            before = view.shards
            found = self._read(
                lambda shards: projected.look(wanted, view.projections, {partition: shards[partition] for partition in listed}),
                deadline,
                self._abreast.bringing(listed, freshness, deadline),
            )
            if found is not None:
                return found
            if not view.wait_for_others(before, deadline):
                how_far = "" if view.building is None else " ({:,} of {:,} records)".format(*view.building)
                raise self._abreast.stale({}, f"the projection {wanted.name!r} is being built from the log{how_far}", 0.0)

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
        return self._view.wait(self._abreast.behind(position), monotonic() + (self._read_timeout if timeout is None else timeout))

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
            meta = shards[self._abreast.partition(task_id)].task(task_id)
            if freshness == "default" and (meta is None or meta.state != TaskState.SUCCESS or meta.expired(now)):
                return None
            found.append(self._alive(meta, now))
        return found if self._view.shards is shards else None

    def reach(self, needed: Mapping[int, int], timeout: float) -> None:
        """See `Abreast.reach`."""
        self._abreast.reach(needed, timeout)

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
                    raise self._abreast.stale({}, "the view is being opened again", 0.0) from None
                continue
            except ViewCorrupt as error:
                if self._view.shards is shards:
                    self._view.doubt(error)
                raise
            if self._view.shards is shards:
                return answer

    def _of_subject(self, subject: str, freshness: Freshness, timeout: float | None, ask: Callable[[Shard], T]) -> T:
        partition = self._abreast.partition(subject)
        deadline = self._deadline(timeout)
        self._abreast.await_own([subject], deadline)
        return self._read(lambda shards: ask(shards[partition]), deadline, self._abreast.bringing([partition], freshness, deadline))

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

    def _by_partition(self, subjects: Iterable[str]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        partition = self._abreast.partition
        for subject in subjects:
            number = partition(subject)
            if number in found:
                found[number].append(subject)
            else:
                found[number] = [subject]
        return found

    def _deadline(self, timeout: float | None) -> float:
        return monotonic() + (self._read_timeout if timeout is None else min(timeout, self._read_timeout))
