"""Freshness at a distance: the owner of the view brings it as far as the answer needs, this process says what it wrote itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from time import monotonic, time
from typing import Any

from eventresults.codec import plain
from eventresults.codec.ids import key_of
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position
from eventresults.errors import ViewUnavailable
from eventresults.log.base import Log
from eventresults.log.own import OwnWrites
from eventresults.reading.own import needed_of, needed_of_all
from eventresults.view import protocol, travel
from eventresults.view.base import Fact, Freshness, Listener, Openness, OpenPage, OpenRow, ProjectedPage, Subscription, TaskPage, Wanted
from eventresults.view.listeners import Listeners
from eventresults.view.remote import RemoteView


class RemoteReader:
    """A `ViewReader` over a view that another process holds. Any thread.

    As `FreshReader`; and every method raises `ViewUnavailable` when the connection is lost.
    """

    def __init__(
        self,
        view: RemoteView,
        log: Log,
        own: OwnWrites,
        listeners: Listeners,
        *,
        read_timeout: float = 10.0,
        clock: Callable[[], int] = lambda: int(time() * 1000),
    ) -> None:
        self.view = view
        self._log = log
        self._own = own
        self._listeners = listeners
        self._read_timeout = read_timeout
        self._now = clock
        own.follow(lambda: view.told[1])

    def get(self, task_id: str, *, freshness: Freshness = "default", timeout: float | None = None) -> TaskMeta | None:
        """See `ViewReader.get`."""
        key_of(task_id)
        return self._tasks([task_id], freshness, timeout)[task_id]

    def get_many(
        self, task_ids: Sequence[str], *, freshness: Freshness = "default", timeout: float | None = None
    ) -> dict[str, TaskMeta | None]:
        """See `ViewReader.get_many`."""
        for task_id in task_ids:
            key_of(task_id)
        ids = list(dict.fromkeys(task_ids))
        deadline = self._deadline(timeout)
        found: dict[str, TaskMeta | None] = {}
        for at in range(0, len(ids), protocol.MAX_IDS):
            found |= self._tasks(ids[at : at + protocol.MAX_IDS], freshness, max(deadline - monotonic(), 0.0))
        return found

    def _tasks(self, ids: list[str], freshness: Freshness, timeout: float | None) -> dict[str, TaskMeta | None]:
        found: dict[str, TaskMeta | None] = {}
        while ids:
            metas = self._ask(protocol.Metas, protocol.Tasks, ids, freshness, timeout, subjects=ids).tasks
            if not 0 < len(metas) <= len(ids):
                raise ViewUnavailable(f"{self.view.name} answered {len(metas)} tasks for {len(ids)} ids: run the same version.")
            now = self._now()
            for one, meta in zip(ids, metas, strict=False):
                found[one] = None if meta is None or meta.expired(now) else meta
            ids = ids[len(metas) :]
        return found

    def group(
        self, group_id: str, *, freshness: Freshness = "default", timeout: float | None = None, brief: bool = False
    ) -> GroupMeta | None:
        """See `ViewReader.group`."""
        key_of(group_id)
        question = partial(protocol.Group, brief=brief)
        group: GroupMeta | None = self._ask(protocol.OneGroup, question, group_id, freshness, timeout, subjects=[group_id]).group
        return None if group is None or group.expired(self._now()) else group

    def history(self, subject: str, *, freshness: Freshness = "default", timeout: float | None = None) -> list[Fact]:
        """See `ViewReader.history`."""
        key_of(subject)
        deadline = self._deadline(timeout)
        answer = self._ask(protocol.Facts, protocol.History, subject, freshness, timeout, subjects=[subject])
        facts = answer.facts
        while answer.earlier:
            question = partial(protocol.History, starts=answer.earlier)
            answer = self._ask(protocol.Facts, question, subject, "applied", max(deadline - monotonic(), 0.0), subjects=[subject])
            facts = answer.facts + facts
        return [travel.read_fact(fact) for fact in facts]

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
    ) -> TaskPage:
        """See `ViewReader.recent`."""
        query = {"state": state, "name": name, "since": since, "until": until, "limit": limit, "cursor": cursor}
        return self._recent(query, freshness, timeout, None)

    def recent_of(self, partitions: Sequence[int], query: Mapping[str, Any], *, freshness: Freshness, timeout: float) -> TaskPage:
        """See `ViewReader.recent`, whose other arguments `query` holds: of these partitions alone, all of which the owner must have."""
        return self._recent({**query, "partitions": list(partitions)}, freshness, timeout, partitions)

    def _recent(self, query: Mapping[str, Any], freshness: Freshness, timeout: float | None, partitions: Sequence[int] | None) -> TaskPage:
        answer = self._ask_all(protocol.Page, protocol.Recent, query, freshness, timeout, partitions)
        return TaskPage(answer.tasks, answer.cursor)

    def opened(
        self,
        kind: Openness,
        *,
        limit: int = 1_000,
        cursor: str | None = None,
        freshness: Freshness = "default",
        timeout: float | None = None,
    ) -> OpenPage:
        """See `ViewReader.opened`."""
        return self._opened({"kind": kind, "limit": limit, "cursor": cursor}, freshness, timeout, None)

    def opened_of(self, partitions: Sequence[int], query: Mapping[str, Any], *, freshness: Freshness, timeout: float) -> OpenPage:
        """See `ViewReader.opened`, whose other arguments `query` holds: of these partitions alone, all of which the owner must have."""
        return self._opened({**query, "partitions": list(partitions)}, freshness, timeout, partitions)

    def _opened(self, query: Mapping[str, Any], freshness: Freshness, timeout: float | None, partitions: Sequence[int] | None) -> OpenPage:
        answer = self._ask_all(protocol.Open, protocol.Opened, query, freshness, timeout, partitions)
        return OpenPage([OpenRow(*row) for row in answer.rows], answer.cursor)

    def projected(self, wanted: Wanted, *, freshness: Freshness = "default", timeout: float | None = None) -> ProjectedPage:
        """See `ViewReader.projected`."""
        return self.projected_of(None, wanted, freshness=freshness, timeout=timeout)

    def projected_of(
        self, partitions: Sequence[int] | None, wanted: Wanted, *, freshness: Freshness, timeout: float | None
    ) -> ProjectedPage:
        """The same of these partitions alone, all of which the owner must have."""
        query = {**wanted._asdict(), "partitions": None if partitions is None else list(partitions)}
        answer = self._ask_all(protocol.States, protocol.Projected, query, freshness, timeout, partitions)
        return ProjectedPage([(key, plain.unpack(raw)) for key, raw in answer.rows], answer.after)

    def subscribe(self, subjects: Iterable[str], listener: Listener) -> Subscription:
        """See `ViewReader.subscribe`."""
        subscription = self._listeners.add(subjects, listener)
        self.view.flush()
        return subscription

    def unsubscribe(self, subjects: Iterable[str], listener: Listener) -> None:
        """See `ViewReader.unsubscribe`."""
        self._listeners.remove(tuple(subjects), listener)

    def open_revokes(self, listener: Listener) -> Subscription:
        """See `ViewReader.open_revokes`."""
        subscription = self._listeners.add_for_revokes(listener)
        self.view.flush()
        return subscription

    def wait_until(self, position: Position, timeout: float | None = None) -> bool:
        """See `FreshReader.wait_until`."""
        needed = {position.partition: position.offset + 1}
        return bool(
            self.view.call(protocol.Said, protocol.Reach, needed, timeout=self._read_timeout if timeout is None else max(timeout, 0)).answer
        )

    def ask(self, what: str, arguments: Mapping[str, Any], timeout: float) -> Any:
        """Whatever else the owner knows: see `protocol.Ask`."""
        return self.view.call(protocol.Said, protocol.Ask, what, dict(arguments), timeout=timeout).answer

    def close(self) -> None:
        """End the connection. Idempotent."""
        self.view.close()

    def _ask_all(
        self,
        expected: Any,
        question: Any,
        query: Mapping[str, Any],
        freshness: Freshness,
        timeout: float | None,
        partitions: Sequence[int] | None,
    ) -> Any:
        """What concerns all ids of these partitions (None: of all)."""
        deadline = self._deadline(timeout)
        needed = needed_of_all(self._own, deadline)
        if partitions is not None:
            needed = {partition: offset for partition, offset in needed.items() if partition in partitions}
        return self.view.call(expected, question, query, travel.wire_freshness(freshness), needed, timeout=max(deadline - monotonic(), 0.0))

    def _ask(
        self, expected: Any, question: Any, about: Any, freshness: Freshness, timeout: float | None, *, subjects: Sequence[str]
    ) -> Any:
        deadline = self._deadline(timeout)
        own = self._own
        needed = needed_of(own, self._log, subjects, deadline)
        answer = self.view.call(
            expected, question, about, travel.wire_freshness(freshness), needed, timeout=max(deadline - monotonic(), 0.0)
        )
        if needed:
            for subject in subjects:
                own.folded(subject, needed)
        return answer

    def _deadline(self, timeout: float | None) -> float:
        return monotonic() + (self._read_timeout if timeout is None else min(timeout, self._read_timeout))
