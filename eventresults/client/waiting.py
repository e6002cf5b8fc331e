"""Waiting until tasks are ready: told by the projector, not by asking again and again.

Subscribe first, look second, then take what comes. One subscription and one look serve any number of results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING, Any

from eventresults.client.inbox import LIMIT, ThreadInbox
from eventresults.client.metadict import MetaDict
from eventresults.domain.meta import TaskMeta
from eventresults.domain.position import Position
from eventresults.errors import ResultTimeout, ViewStale
from eventresults.view.base import Change

if TYPE_CHECKING:
    from eventresults.client.asyncresult import AsyncResult
    from eventresults.client.backend import Backend

OnMessage = Callable[[MetaDict], Any]
OnInterval = Callable[[], Any]


def arrivals(
    results: Sequence[AsyncResult],
    *,
    guards: Sequence[AsyncResult] = (),
    timeout: float | None = None,
    interval: float | None = 0.5,
    on_interval: OnInterval | None = None,
    on_message: OnMessage | None = None,
) -> Iterator[AsyncResult]:
    """Yield each result once it is ready; those that are ready now come first.

    `timeout` (seconds) bounds the whole: `ResultTimeout`; 0 looks once. Raises the exception of the first of `guards` that failed.
    `on_interval()` is called every `interval` seconds, `on_message(meta)` with what the look finds and with every change after it, both by
    this thread. Raises `Closed` when the tracker is closed meanwhile, `ViewStale` when the look could not be had.
    """
    waiting = Waiting(results, guards)
    if waiting.to_ask:
        deadline = Deadline(timeout)
        inbox = ThreadInbox(waiting.ids, every=on_message is not None)
        with ExitStack() as attached:
            for backend, ids in waiting.to_ask.items():
                attached.enter_context(backend.attached(inbox, ids))
            yield from waiting.looked(waiting.look(deadline), on_message)
            ticks = Ticks(interval, on_interval)
            overdue = 0
            while waiting.pending:
                ticks.tick()
                change = inbox.take(ticks.until(deadline.remaining()))
                if change is not None:
                    yield from waiting.told(change, on_message)
                if waiting.pending and deadline.passed():
                    # What came in time is taken late, but a flood of changes is not waited out.
                    overdue += 1
                    if change is None or overdue > LIMIT:
                        raise waiting.timed_out(deadline)
    else:
        yield from waiting.here


class Waiting:
    """What is still waited for, and what was seen of it. Knows neither threads nor loops: who takes the changes tells it."""

    def __init__(self, results: Sequence[AsyncResult], guards: Sequence[AsyncResult] = ()) -> None:
        self._total = len(results)
        #: Ready before anybody asked.
        self.here = [result for result in results if result.is_settled]
        self.pending: dict[str, list[AsyncResult]] = {}
        self._guards: dict[str, list[AsyncResult]] = {}
        self._seen: dict[str, TaskMeta] = {}
        #: Ids by the backend to be asked for them.
        self.to_ask: dict[Backend, list[str]] = {}
        for guard in guards:
            if guard.is_settled:
                guard.maybe_throw()
            else:
                self._await(guard, self._guards)
        for result in results:
            if not result.is_settled:
                self._await(result, self.pending)

    def _await(self, result: AsyncResult, where: dict[str, list[AsyncResult]]) -> None:
        if result.id not in self.pending and result.id not in self._guards:
            self.to_ask.setdefault(result.backend, []).append(result.id)
        where.setdefault(result.id, []).append(result)

    @property
    def ids(self) -> Iterable[str]:
        """The ids that are asked for."""
        return [task_id for ids in self.to_ask.values() for task_id in ids]

    def look(self, deadline: Deadline) -> dict[str, TaskMeta | None]:
        """Read them all. When time is up before the latest could be had, what is here must do."""
        found: dict[str, TaskMeta | None] = {}
        for backend, ids in self.to_ask.items():
            try:
                found |= backend.reader.get_many(ids, timeout=deadline.for_look())
            except ViewStale:
                if not deadline.passed():
                    raise
                found |= backend.reader.get_many(ids, freshness="applied")
        return found

    def looked(self, found: Mapping[str, TaskMeta | None], on_message: OnMessage | None) -> Iterator[AsyncResult]:
        """The results that a look found ready. Raises a guard's exception first."""
        for task_id in self._guards.copy():
            self._check(task_id, found[task_id])
        yield from self.here
        for task_id, meta in found.items():
            if meta is not None:
                self._seen[task_id] = meta
                if on_message is not None and task_id in self.pending:
                    on_message(self._dict(task_id, meta))
                yield from self._arrive(task_id, meta)

    def told(self, change: Change, on_message: OnMessage | None) -> Iterator[AsyncResult]:
        """The results that this change makes ready."""
        meta, task_id = change.meta, change.subject
        if not isinstance(meta, TaskMeta):
            return
        self._check(task_id, meta)
        seen = self._seen.get(task_id)
        news = seen is None or _later(change.fact.position, seen.position)
        if news:
            self._seen[task_id] = meta
        if on_message is not None and task_id in self.pending and (news or meta.ready):
            on_message(self._dict(task_id, meta))
        yield from self._arrive(task_id, meta)

    def timed_out(self, deadline: Deadline) -> ResultTimeout:
        """What to raise when time is up."""
        task_id = next(iter(self.pending))
        seen = self._seen.get(task_id)
        state = None if seen is None else str(seen.state)
        last = "it is not known (yet)" if state is None else f"its last state was {state}"
        if self._total == 1:
            what = f"Task {task_id} was not ready after {deadline.timeout:g} s: {last}."
        else:
            what = f"{len(self.pending)} of {self._total} tasks were not ready after {deadline.timeout:g} s; of {task_id}, {last}."
        return ResultTimeout(f"{what} The work goes on: ask again, or wait longer.", task_id=task_id, timeout=deadline.timeout, state=state)

    def _dict(self, task_id: str, meta: TaskMeta) -> MetaDict:
        return self.pending[task_id][0].backend.meta_dict(task_id, meta)

    def _check(self, task_id: str, meta: TaskMeta | None) -> None:
        if meta is not None and meta.ready:
            for guard in self._guards.pop(task_id, ()):
                guard.learn(meta)
                guard.maybe_throw()

    def _arrive(self, task_id: str, meta: TaskMeta) -> Iterator[AsyncResult]:
        if meta.ready:
            for result in self.pending.pop(task_id, ()):
                result.learn(meta)
                yield result


class Deadline:
    """When a wait of `timeout` seconds is over, on the monotonic clock. None: never."""

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        self._at = None if timeout is None else monotonic() + max(timeout, 0)

    def remaining(self) -> float | None:
        """Seconds that are left."""
        return None if self._at is None else max(self._at - monotonic(), 0)

    def passed(self) -> bool:
        """Whether none are."""
        return self._at is not None and monotonic() >= self._at

    def for_look(self) -> float | None:
        """How long a read may take (None: the reader's own limit). Who waits for nothing still gets one proper look."""
        return self.remaining() if self.timeout is not None and self.timeout > 0 else None


class Ticks:
    """Calls `on_interval` every `interval` seconds, by the thread that waits."""

    def __init__(self, interval: float | None, on_interval: OnInterval | None) -> None:
        self._call = on_interval
        self._interval = max(0.5 if interval is None else interval, 0.001)
        self._next = monotonic() + self._interval

    def tick(self) -> None:
        """Call it if it is time; what a long call missed is not made up for."""
        if self._call is not None and monotonic() >= self._next:
            self._call()
            self._next = max(self._next + self._interval, monotonic())

    def until(self, remaining: float | None) -> float | None:
        """How long to wait at most."""
        if self._call is None:
            return remaining
        until = max(self._next - monotonic(), 0)
        return until if remaining is None else min(until, remaining)


def _later(one: Position, other: Position) -> bool:
    return one.partition != other.partition or one.offset > other.offset
