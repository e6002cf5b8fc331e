"""`AsyncResult`: what a caller holds of one task, under Celery's names and with Celery's parameters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from eventresults.client import pending
from eventresults.client.joins import assert_will_not_block
from eventresults.client.known import TaskFacts
from eventresults.client.parents import guards, with_ancestors
from eventresults.client.revoking import forget, revoke, revoke_by_stamped_headers
from eventresults.client.settling import Settling
from eventresults.client.tree import ResultTree
from eventresults.client.waiting import OnInterval, OnMessage, arrivals
from eventresults.client.watch import wait_async, watch
from eventresults.domain.position import Position
from eventresults.domain.states import EXCEPTION_STATES as _EXCEPTION_STATES
from eventresults.domain.states import PROPAGATE_STATES as _PROPAGATE_STATES
from eventresults.domain.states import READY_STATES, TaskState
from eventresults.errors import ResultTimeout

if TYPE_CHECKING:
    from eventresults.domain.events import TaskEvent, UnknownEvent
    from eventresults.domain.meta import TaskMeta


@pending.register
class AsyncResult(Settling, TaskFacts, ResultTree):
    """One task, by its id. Making one asks nothing, opens nothing and checks nothing; reading does.

    `app` is a tracker, or a Celery app whose results are kept here; left out, the current tracker is taken at the first use, and
    `ConfigError` raised when there is none. `parent` is the result before this one in a chain. What is read is as new as the log
    was when the reading began; once the task is ready, the answer is kept until `forget()`.
    """

    #: What `get` raises when time is up.
    TimeoutError = ResultTimeout

    _ignored = False

    # Waiting

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        no_ack: bool = True,  # noqa: ARG002 - Celery's
        follow_parents: bool = True,
        callback: Callable[[str, Any], Any] | None = None,
        on_message: OnMessage | None = None,
        on_interval: OnInterval | None = None,
        disable_sync_subtasks: bool = True,
        EXCEPTION_STATES: frozenset[str] = _EXCEPTION_STATES,  # noqa: ARG002
        PROPAGATE_STATES: frozenset[str] = _PROPAGATE_STATES,  # noqa: ARG002
        *,
        as_type: Any = None,
    ) -> Any:
        """Wait until the task is ready and return its value, or raise its exception (return it, without `propagate`).

        `timeout` in seconds: `ResultTimeout` (a TimeoutError) when it is over; 0 looks once. With `follow_parents` and `propagate`, the
        failure of a parent given to this result is raised as soon as it is known. `callback(id, value)` is called at the end,
        `on_message(meta)` with every change on the way, `on_interval()` every `interval` seconds. `as_type` validates the value with
        pydantic. Raises `WouldBlock` inside a task, unless that is allowed; `Closed` when the tracker is closed meanwhile;
        `ViewStale` when the log cannot be reached. An `ignored` result gives None at once.
        """
        if self.ignored:
            return None
        if disable_sync_subtasks:
            assert_will_not_block()
        failing = guards(self) if follow_parents and propagate else ()
        for _ in arrivals([self], guards=failing, timeout=timeout, interval=interval, on_interval=on_interval, on_message=on_message):
            pass
        value = self.maybe_throw(propagate=propagate, callback=callback)
        return value if as_type is None else self._typed(value, as_type)

    wait = get

    def __await__(self) -> Generator[Any, None, Any]:
        """`get()` for asyncio: the value, or the exception; other tasks of the event loop go on meanwhile."""
        return wait_async(self).__await__()

    def watch(self) -> AsyncIterator[TaskEvent | UnknownEvent]:
        """Iterate asynchronously over the task's facts: its history, then each as it comes, until it is ready or forgotten."""
        return watch(self)

    def then(self, callback: Callable[..., Any] | None, on_error: Callable[..., Any] | None = None, weak: bool = False) -> Any:
        """When the task is ready call `callback(result)`, or `on_error(exception)` if it failed or was revoked and that is given.

        Exactly once, also when it is ready already; on the tracker's callback thread. Keeps this result alive until then, unless
        `weak`. Returns a promise of what the callback returns. `on_error(Closed)` when the tracker is closed before.
        """
        promise = self.on_ready
        if not self.is_settled:
            self.backend.add_pending_result(self, weak=weak)
        return promise.then(callback, on_error)

    # State

    status = Settling.state

    @property
    def result(self) -> Any:
        """The return value; the exception of a failed, revoked or retried task; the meta of the last update of a running one."""
        return self._get_task_meta()["result"]

    info = result

    @property
    def traceback(self) -> str | None:
        """The text of the failed task's traceback."""
        return self._get_task_meta().get("traceback")

    @property
    def children(self) -> list[Any] | None:
        """The results of what the task sent, once it is ready and if its worker kept a trail."""
        return self._get_task_meta().get("children")

    def exists(self) -> bool:
        """Whether the task is known: from its first fact on, until it is forgotten or expires."""
        return self.backend.task_result_exists(self.id)

    def ready(self) -> bool:
        """Whether the task has ended, by success, failure or revocation."""
        return self.state in READY_STATES

    def successful(self) -> bool:
        """Whether it ended by success."""
        return self.state == TaskState.SUCCESS

    def failed(self) -> bool:
        """Whether it ended by failure."""
        return self.state == TaskState.FAILURE

    def maybe_throw(self, propagate: bool = True, callback: Callable[[str, Any], Any] | None = None) -> Any:
        """Raise the exception of a failed or revoked task if `propagate`; else call `callback(id, value)` and return the value."""
        known = self._get_task_meta()
        value = known["result"]
        if propagate and known["status"] in _PROPAGATE_STATES:
            error = value if isinstance(value, BaseException) else Exception(value)
            # It may be raised again and again: each time with a traceback of its own.
            raise error.with_traceback(None)
        if callback is not None:
            callback(self.id, value)
        return value

    maybe_reraise = maybe_throw

    def throw(self, *args: Any, **kwargs: Any) -> None:
        """Break the promise of this result with an exception, and raise it."""
        self.on_ready.throw(*args, **kwargs)

    @property
    def name(self) -> str | None:
        """The task's name: as the log tells, else as this result was made with."""
        return super().name or self._task_name

    # Acting

    def forget(self) -> None:
        """Forget the task, and the parents given to this result; returns when the log has it. `exists()` is then False."""
        forget(with_ancestors([self]))

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Ask that the task be not run; with `terminate` also that its run be ended, by `signal` (TERM by default).

        The request is a fact of the log, obeyed by whoever runs the task. With `wait`, waits until the task is ready, at most `timeout`
        seconds. `connection` is for Celery's broker.
        """
        revoke([self], self.app, connection=connection, terminate=terminate, signal=signal, wait=wait, timeout=timeout)

    def revoke_by_stamped_headers(
        self,
        headers: dict[str, Any],
        connection: Any = None,
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Ask Celery's workers to revoke all tasks stamped with these headers. Raises `ConfigError` unless `app` is a Celery app."""
        revoke_by_stamped_headers(self.app, headers, connection=connection, terminate=terminate, signal=signal, reply=wait, timeout=timeout)

    @property
    def ignored(self) -> bool:
        """Whether nobody wants the result: `get` then gives None at once."""
        return self._ignored

    @ignored.setter
    def ignored(self, value: bool) -> None:
        self._ignored = value

    # Beyond Celery

    def history(self) -> list[TaskEvent | UnknownEvent]:
        """Every fact of the task that the view still holds, oldest first, earlier lives included."""
        return [fact.event for fact in self.backend.reader.history(self.id)]

    def as_of(self, when: datetime | Position) -> TaskMeta | None:
        """What was known at this log time, or up to this position; None before the first fact, once forgotten, or expired then.

        From the view's history where that suffices, else from the log (`Tracker.past` says which). Raises ValueError for a time without
        a zone, and for a position in another partition; `PastGone` when the log does not reach back so far any more.
        """
        return self.backend.as_of(self.id, when)

    @property
    def supports_native_join(self) -> bool:
        """Whether many such results can be waited for at once."""
        return self.backend.supports_native_join

    def leaves(self) -> Iterator[AsyncResult]:
        """Itself."""
        yield self

    def _typed(self, value: Any, as_type: Any) -> Any:
        if self.state != TaskState.SUCCESS:
            return value
        meta = self.task_meta()
        return self.decoder.value_as(None if meta is None else meta.result, as_type)
