"""Requests to revoke, as a worker's main process obeys them: through Celery's public state, `revoked` and `revoked_stamps`.

Celery's own memory of them ends with the worker, after three hours, or after 50,000 ids. Here they are merged when the worker is ready
and followed from then on; and as each task is received, the view is asked what it holds, which asks nobody further.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from celery import signals, states
from celery.worker import state as worker_state

from eventresults.domain.events import TaskForgotten, TaskRevokeRequested
from eventresults.domain.meta import TaskMeta
from eventresults.errors import EventResultsError

if TYPE_CHECKING:
    from eventresults.client.backend import Backend
    from eventresults.view.base import Change, Subscription

logger = logging.getLogger(__name__)

#: How long a worker that is ready waits for the requests that are open, before it takes up tasks.
MERGE_SECONDS: Final = 30.0
#: How long the main loop may wait for the view; and for how long it is not asked after that was in vain.
LOOK_SECONDS: Final = 0.05
BLIND_SECONDS: Final = 1.0
#: Between two tries to follow; and between two looks at tasks that wait here, for Celery's memory is shorter than an ETA may be.
RETRY_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 600.0
#: For so long one question to the log serves a whole command that revokes many.
FRESH_SECONDS: Final = 0.1
#: For so long what was heard of a task with the request needs not be asked for when the broker tells of it, too; of so many tasks.
HEARD_SECONDS: Final = 0.5
HEARD: Final = 50_000
#: Ids that are remembered as requested.
REMEMBERED: Final = 500_000


class Revokes:
    """The requests that one worker's main process obeys."""

    def __init__(self, home: Callable[[], Backend]) -> None:
        """`home` opens the view."""
        self._home = home
        self._heard: deque[tuple[str, dict[str, list[Any]] | None]] = deque()
        self._merging = threading.Lock()
        self._requested: dict[str, None] = {}
        self._subscription: Subscription | None = None
        self._stopping = threading.Event()
        self._hub: Any = None
        self._main = (os.getpid(), threading.get_ident())
        self._blind_until = 0.0
        self._asked_at = -FRESH_SECONDS
        self._seen: tuple[str, TaskMeta | None, float] = ("", None, 0.0)
        #: What was known of a task when the request was folded, and when we heard of that.
        self._known: dict[str, tuple[TaskMeta, float]] = {}
        #: All that stood open at the start is merged.
        self.merged = False

    @property
    def on_main_loop(self) -> bool:
        """Whether this is the thread on which the worker does all but work."""
        return self._main == (os.getpid(), threading.get_ident())

    def start(self, consumer: Any) -> None:
        """Merge what stands open, and follow. Waits for a while; what could not be had by then is fetched by a thread."""
        self._hub = getattr(consumer, "hub", None)
        deadline = monotonic() + MERGE_SECONDS
        while not self.merged:
            try:
                self._follow(max(deadline - monotonic(), 0.0))
            except EventResultsError as error:
                if monotonic() > deadline:
                    logger.warning("requests to revoke that stand open are not known yet, tasks start meanwhile: %s", error)
                    break
                self._stopping.wait(RETRY_SECONDS)
        threading.Thread(target=self._run, name="eventresults-celery-revokes", daemon=True).start()

    def stop(self) -> None:
        """Follow no longer. Idempotent."""
        self._stopping.set()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()

    def look(self, task_id: str) -> None:
        """A task was received: if a request to revoke it is open, let Celery know, which looks before it runs the task."""
        if self.merged and task_id not in worker_state.revoked and self._is_requested(task_id):
            worker_state.merge_revoked([task_id])

    def state_of(self, task_id: str) -> str:
        """The state of a task that is being revoked. Many are in a row: nothing is asked that was told with the request, and the log
        is asked for its end once for all.
        """
        now = monotonic()
        heard, at = self._known.pop(task_id, (None, 0.0))
        if heard is not None and now - at < HEARD_SECONDS:
            meta = heard if heard.exists else None
        else:
            fresh = now - self._asked_at > FRESH_SECONDS
            meta = self._home().reader.get(task_id, freshness="default" if fresh else "applied", timeout=1.0)
            now = monotonic()
            if fresh:
                self._asked_at = now
        self._seen = (task_id, meta, now)
        if meta is None:
            return str(states.PENDING)
        # A start that was only observed does not show in the state; but who runs a task tells itself how that ends.
        return str(states.STARTED if meta.running and meta.state == states.PENDING else meta.state)

    def seen(self, task_id: str) -> tuple[bool, TaskMeta | None]:
        """Whether this task was looked at just now, and what was seen."""
        seen, meta, at = self._seen
        return (seen == task_id and monotonic() - at < FRESH_SECONDS), meta

    # Following

    def _run(self) -> None:
        while not self._stopping.wait(AGAIN_SECONDS if self.merged else RETRY_SECONDS):
            try:
                if self.merged:
                    self._look_again()
                else:
                    self._follow(MERGE_SECONDS)
            except EventResultsError as error:
                logger.debug("requests to revoke could not be looked for: %s", error)

    def _follow(self, timeout: float) -> None:
        deadline = monotonic() + timeout
        reader = self._home().reader
        if self._subscription is None:
            self._subscription = reader.open_revokes(self._hear)
        cursor = None
        while True:
            page = reader.opened("revoke", cursor=cursor, timeout=max(deadline - monotonic(), 0.0))
            self._take((row.subject, row.facts.get("stamps")) for row in page.items)
            cursor = page.cursor
            if cursor is None:
                break
        self.merged = True

    def _look_again(self) -> None:
        held = list(worker_state.requests)
        if held:
            found = self._home().reader.get_many(held, freshness="applied")
            self._take((task_id, None) for task_id, meta in found.items() if meta is not None and meta.revoke_request is not None)

    def _hear(self, change: Change, /) -> None:
        event = change.fact.event
        if isinstance(event, TaskRevokeRequested) and not event.observed:
            if isinstance(change.meta, TaskMeta):
                if len(self._known) >= HEARD:
                    self._known.clear()
                self._known[event.task_id] = (change.meta, monotonic())
            self._take([(event.task_id, event.stamps)])

    def _take(self, requests: Iterable[tuple[str, dict[str, list[Any]] | None]]) -> None:
        """Remember these, and have Celery's sets know them: on the main loop where there is one, for they are its own."""
        self._heard.extend(requests)
        if self._hub is not None and not self.on_main_loop:
            self._hub.call_soon(self._merge)
        else:
            self._merge()

    def _merge(self) -> None:
        with self._merging:
            ids: list[str] = []
            while self._heard:
                task_id, stamps = self._heard.popleft()
                if stamps is not None:
                    _merge_stamps(stamps)
                    continue
                self._requested[task_id] = None
                if task_id not in worker_state.revoked:
                    ids.append(task_id)
            worker_state.merge_revoked(ids)
            while len(self._requested) > REMEMBERED:
                del self._requested[next(iter(self._requested))]

    # Looking

    def _is_requested(self, task_id: str) -> bool:
        requested = task_id in self._requested
        if monotonic() < self._blind_until:
            return requested
        reader = self._home().reader
        try:
            meta = reader.get(task_id, freshness="applied", timeout=LOOK_SECONDS)
            if meta is not None:
                return meta.revoke_request is not None or _was_revoked(meta)
            # Merely requested, or forgotten: the history tells.
            return requested and _stands_open([fact.event for fact in reader.history(task_id, freshness="applied", timeout=LOOK_SECONDS)])
        except EventResultsError as error:
            self._blind_until = monotonic() + BLIND_SECONDS
            logger.debug("the view did not tell whether a task is to be revoked: %s", error)
            return requested


def _was_revoked(meta: TaskMeta) -> bool:
    """Whether a worker said so on hearing of the request, which ended it: another one, that was away, has the message."""
    return meta.state == states.REVOKED and meta.finished and (meta.revocation or {}).get("reason") == "revoked"


def _stands_open(events: list[Any]) -> bool:
    for event in reversed(events):
        if isinstance(event, TaskRevokeRequested):
            return True
        if isinstance(event, TaskForgotten):
            return False
    return True


def _merge_stamps(stamps: dict[str, list[Any]]) -> None:
    for header, values in stamps.items():
        known = worker_state.revoked_stamps.get(header) or []
        known = list(known) if isinstance(known, list | tuple | set) else [known]
        worker_state.revoked_stamps[header] = known + [value for value in values if value not in known]


# Receivers


def _ready(sender: Any, **_: Any) -> None:
    backend = sender.app.backend
    start = getattr(backend, "obey_revokes", None)
    if start is not None:
        start(sender)


def _shutting_down(**_: Any) -> None:
    for revokes in _obeyed:
        revokes.stop()
    _obeyed.clear()


_obeyed: list[Revokes] = []


def serve() -> None:
    """Have workers of this process obey from when they are ready on."""
    signals.worker_ready.connect(_ready, weak=False, dispatch_uid="eventresults-revokes-ready")
    signals.worker_shutdown.connect(_shutting_down, weak=False, dispatch_uid="eventresults-revokes-shutdown")


def obey(home: Callable[[], Backend], consumer: Any) -> Revokes:
    """What this worker obeys, from now on."""
    revokes = Revokes(home)
    _obeyed.append(revokes)
    revokes.start(consumer)
    return revokes
