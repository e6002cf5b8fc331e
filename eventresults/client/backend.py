"""`Backend`: what a result asks. One recorder, one reader, and the promises between them."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, cast

from eventresults.client.asyncresult import AsyncResult
from eventresults.client.callbacks import Callbacks
from eventresults.client.decoding import PLAIN, Decoder
from eventresults.client.inbox import Inbox
from eventresults.client.metadict import MetaDict, meta_dict
from eventresults.client.pending import Runner
from eventresults.client.registry import Registry, closed_error
from eventresults.client.resultset import ResultSet
from eventresults.client.tuples import plain, result_from_tuple
from eventresults.client.waiting import OnInterval, OnMessage
from eventresults.domain.events import GroupForgotten, GroupSaved, TaskRevokeRequested
from eventresults.domain.fold import UNFINISHED_EXPIRES
from eventresults.domain.position import Position
from eventresults.domain.states import EXCEPTION_STATES, PROPAGATE_STATES, READY_STATES, UNREADY_STATES
from eventresults.errors import AppendTimeout
from eventresults.past import TimeTravel, When, as_of

if TYPE_CHECKING:
    from eventresults.domain.meta import TaskMeta
    from eventresults.recorder import Recorder
    from eventresults.view.base import ViewReader

#: How long `forget`, `save` and `delete` wait for the log to have the fact; its own append timeout is usually shorter.
ACKNOWLEDGE_SECONDS = 30.0


class Backend:
    """Answers and records for results. Thread-safe. Celery's names, where it has one for the same thing.

    `result_expires` (seconds; None: never) is how long a saved group lives; `read_timeout` (seconds) is the reader's; `url` is where the
    log is, passwords masked; `unfinished_expires` (seconds; None: never) is how long the view keeps a task without an end; `decoder` reads
    the payloads; `travel` (None: the view's history alone) answers what was known earlier. It is an `App` by itself: its `backend` is
    itself. Close it before the reader.
    """

    READY_STATES = READY_STATES
    UNREADY_STATES = UNREADY_STATES
    EXCEPTION_STATES = EXCEPTION_STATES
    PROPAGATE_STATES = PROPAGATE_STATES
    TimeoutError = AsyncResult.TimeoutError
    #: Results are told, not polled for.
    is_async = True
    supports_native_join = True

    def __init__(
        self,
        recorder: Recorder,
        reader: ViewReader,
        *,
        result_expires: float | None = None,
        read_timeout: float = 10.0,
        callbacks: Callbacks | None = None,
        url: str | None = None,
        unfinished_expires: float | None = UNFINISHED_EXPIRES / 1000,
        decoder: Decoder = PLAIN,
        travel: TimeTravel | None = None,
    ) -> None:
        self.recorder = recorder
        self.reader = reader
        self.callbacks = callbacks or Callbacks()
        #: Runs what users hand in; one for all promises, of which there may be a million.
        self.call: Runner = self.callbacks.put
        self.registry = Registry(reader, self.callbacks)
        self.result_expires = result_expires
        self.read_timeout = read_timeout
        self.url = url
        self.decoder = decoder
        #: In milliseconds, 0: never; as the fold has it.
        self.unfinished_expires = round((unfinished_expires or 0) * 1000)
        self._travel = travel
        self._closed = False
        self._lock = threading.Lock()
        self._inboxes: set[Inbox] = set()
        _all.add(self)

    @property
    def backend(self) -> Self:
        """Itself."""
        return self

    # Reading

    def get_task_meta(self, task_id: str) -> MetaDict:
        """What is known of a task, as a dict with Celery's keys; an unknown one is PENDING."""
        return self.meta_dict(task_id, self.reader.get(task_id))

    def get_state(self, task_id: str) -> str:
        """The task's state."""
        meta = self.reader.get(task_id)
        return "PENDING" if meta is None else str(meta.state)

    def get_result(self, task_id: str) -> Any:
        """The value or the exception."""
        return self.get_task_meta(task_id)["result"]

    def get_traceback(self, task_id: str) -> str | None:
        """The text of the failed task's traceback."""
        meta = self.reader.get(task_id)
        return None if meta is None else self.decoder.traceback(meta)

    def get_children(self, task_id: str) -> list[Any] | None:
        """The `as_tuple()` forms of what the task sent."""
        meta = self.reader.get(task_id)
        return None if meta is None else meta.children

    def task_result_exists(self, task_id: str) -> bool:
        """Whether the task is known."""
        return self.reader.get(task_id) is not None

    def as_of(self, task_id: str, when: When) -> TaskMeta | None:
        """What was known of a task at this moment; see `AsyncResult.as_of`."""
        if self._travel is not None:
            return self._travel.task(task_id, when).meta
        return as_of(self.reader.history(task_id), when, unfinished_expires=self.unfinished_expires)

    # Waiting

    def wait_for_pending(
        self,
        result: AsyncResult,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_message: OnMessage | None = None,
        on_interval: OnInterval | None = None,
        callback: Any = None,
        propagate: bool = True,
    ) -> Any:
        """Wait for one result; parents are not followed."""
        return result.get(
            timeout=timeout, interval=interval, no_ack=no_ack, on_message=on_message, on_interval=on_interval, callback=callback,
            propagate=propagate, follow_parents=False, disable_sync_subtasks=False,
        )  # fmt: skip

    def add_pending_result(self, result: AsyncResult, weak: bool = False) -> AsyncResult:
        """Keep the promise of this result once its task is ready; keep the result alive until then, unless `weak`."""
        self.registry.add([result], weak=weak)
        return result

    def remove_pending_result(self, result: AsyncResult) -> AsyncResult:
        """Do not wait for it any longer."""
        self.registry.remove(result)
        return result

    def iter_native(
        self,
        result: ResultSet,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_message: OnMessage | None = None,
        on_interval: OnInterval | None = None,
    ) -> Iterator[tuple[str, Any]]:
        """See `ResultSet.iter_native`."""
        return result.iter_native(timeout=timeout, interval=interval, no_ack=no_ack, on_message=on_message, on_interval=on_interval)

    def get_many(
        self,
        task_ids: Iterable[str],
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_message: OnMessage | None = None,
        on_interval: OnInterval | None = None,
        max_iterations: int | None = None,
    ) -> Iterator[tuple[str, MetaDict]]:
        """Yield (id, meta dict) of each task as it gets ready; with `max_iterations`, only of those that are ready now."""
        ids = list(dict.fromkeys(task_ids))
        if max_iterations:
            for task_id, meta in self.reader.get_many(ids).items():
                if meta is not None and meta.ready:
                    yield task_id, self.meta_dict(task_id, meta)
            return
        results = ResultSet([AsyncResult(task_id, backend=self) for task_id in ids], app=self)
        arriving = results.iter_native(timeout=timeout, interval=interval, no_ack=no_ack, on_message=on_message, on_interval=on_interval)
        yield from cast("Iterator[tuple[str, MetaDict]]", arriving)

    @contextmanager
    def attached(self, inbox: Inbox, ids: Iterable[str]) -> Iterator[None]:
        """Inside, the inbox gets the changes of these ids, and `Closed` when this is closed."""
        with self._lock:
            if self._closed:
                raise closed_error()
            self._inboxes.add(inbox)
        try:
            subscription = self.reader.subscribe(ids, inbox)
            try:
                yield
            finally:
                subscription.close()
        finally:
            with self._lock:
                self._inboxes.discard(inbox)

    # Recording

    def forget(self, *task_ids: str) -> None:
        """End the life of these ids; returns when the log has it. Raises `AppendTimeout`."""
        self.acknowledged([self.recorder.forgotten(task_id) for task_id in task_ids])

    def request_revoke(
        self, task_id: str, *, terminate: bool = False, signal: str | None = None, reason: str | None = None
    ) -> Future[Position]:
        """Ask that a task be not run, or not any more; returns the future of the request's position."""
        return self.recorder.append(
            TaskRevokeRequested(
                task_id=task_id, time=self.recorder.now(), terminate=terminate, signal=signal, reason=reason, by=self.recorder.source
            )
        )

    def save_group(self, group_id: str, result: Any) -> Any:
        """Record a group result; returns it when the log has it."""
        saved = GroupSaved(
            group_id=group_id, time=self.recorder.now(), results=plain(result.as_tuple()), result_expires=self.result_expires or 0
        )
        self.acknowledged([self.recorder.append(saved)])
        return result

    def restore_group(self, group_id: str, cache: bool = True, app: Any = None) -> Any:  # noqa: ARG002 - Celery's
        """The saved group result, its results made with `app` (default: this backend); None when there is none."""
        meta = self.reader.group(group_id)
        return None if meta is None or meta.results is None else result_from_tuple(meta.results, app or self)

    def delete_group(self, group_id: str) -> None:
        """Forget a saved group; returns when the log has it."""
        self.acknowledged([self.recorder.append(GroupForgotten(group_id=group_id, time=self.recorder.now()))])

    def acknowledged(self, futures: Iterable[Future[Position]], timeout: float = ACKNOWLEDGE_SECONDS) -> list[Position]:
        """The positions of what was recorded, once the log has it all.

        Raises what an append raised; `AppendTimeout` after `timeout` seconds.
        """
        deadline = monotonic() + timeout
        try:
            return [future.result(max(deadline - monotonic(), 0)) for future in futures]
        except TimeoutError as error:
            raise AppendTimeout(
                f"The log has not acknowledged it after {timeout:g} s: it may or may not be there. Is the log reachable? Try again.",
                timeout=timeout,
            ) from error

    # What results need of their home

    def meta_dict(self, task_id: str, meta: Any) -> MetaDict:
        """A `TaskMeta` in Celery's form."""
        return meta_dict(task_id, meta, self.decoder)

    def result_from_tuple(self, form: Any, app: Any) -> Any:
        """A result of its `as_tuple()` form."""
        return result_from_tuple(form, app)

    def as_uri(self, include_password: bool = False) -> str:  # noqa: ARG002 - we hold none
        """Where the log is, passwords masked."""
        return self.url or ""

    def renew(self) -> None:
        """Begin anew in a forked child: none of the parent's threads waits here."""
        self._lock = threading.Lock()
        self._inboxes = set()
        self.callbacks.renew()
        self.registry.renew()

    def close(self) -> None:
        """Release who waits (`Closed`), break the promises that are open, and see off the callbacks, within 5 s. Idempotent.

        The recorder and the reader are left to whoever made them.
        """
        with self._lock:
            self._closed = True
            inboxes, self._inboxes = self._inboxes, set()
        for inbox in inboxes:
            inbox.put(closed_error())
        self.registry.close()
        self.callbacks.close()


_all: weakref.WeakSet[Backend] = weakref.WeakSet()


def _after_fork() -> None:
    for backend in list(_all):
        backend.renew()


os.register_at_fork(after_in_child=_after_fork)
