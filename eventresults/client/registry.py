"""Who waits for which task: the results whose promises are to be settled when their tasks end.

Registering subscribes at once, so that no fact written later is missed; what was there before is read afterwards by a thread of the
registry's own, for all that were registered meanwhile in one go, so that registering never waits for the log. The first ready state takes
an id out of the registry, whoever saw it; the promise is then settled on the callbacks' thread. Nothing here runs user code, and a result
that dies takes no lock: its weak reference goes on a heap of graves, which the next caller clears.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from eventresults.client.callbacks import Callbacks
from eventresults.client.subject import Subject, Weakly
from eventresults.codec.ids import key_of
from eventresults.domain.meta import TaskMeta
from eventresults.errors import Closed, ViewError
from eventresults.view.base import Change, ViewReader

if TYPE_CHECKING:
    from eventresults.client.asyncresult import AsyncResult

logger = logging.getLogger(__name__)

#: Seconds before asking again for what could not be had.
RETRY_SECONDS = 1.0
#: Ids that are looked at in one go: their answers are here at the same time.
LOOK_IDS = 10_000


class Registry:
    """The pending results of one backend, by task id."""

    def __init__(self, reader: ViewReader, callbacks: Callbacks) -> None:
        self._reader = reader
        self._callbacks = callbacks
        self._looks = Callbacks("eventresults-looks")
        self._closing = threading.Event()
        self.renew()

    def renew(self) -> None:
        """Begin anew in a forked child: the promises made before are the parent's to keep."""
        self._looks.renew()
        # Reentrant: a destructor that the garbage collector runs meanwhile may come back here.
        self._lock = threading.RLock()
        self._subjects: dict[str, Subject] = {}
        self._to_read: list[str] = []
        self._to_retry: list[str] = []
        self._to_confirm: list[str] = []
        self._graves: deque[Weakly] = deque()
        #: Taken out, in the order in which they ended; their promises are not kept yet.
        self._ended: list[tuple[str, Subject, TaskMeta]] = []

    def __len__(self) -> int:
        """How many ids are waited for."""
        self._clear_graves()
        return len(self._subjects)

    def add(self, results: Sequence[AsyncResult], *, weak: bool = False) -> None:
        """Settle these results once their tasks are ready, also those that are ready now.

        Keeps each alive until then, unless `weak`. Raises `InvalidTaskId`, `Closed`, and `ViewError` when the view cannot be had; then
        none is registered.
        """
        self._clear_graves()
        for result in results:
            key_of(result.id)
        untold, added = self._enter(results, weak=weak)
        if not untold:
            return
        try:
            self._reader.subscribe(untold, self)
        except BaseException:
            for result in added:
                self.remove(result)
            raise
        self._subscribed(untold)

    def _enter(self, results: Sequence[AsyncResult], *, weak: bool) -> tuple[dict[str, Subject], list[AsyncResult]]:
        """Note them down; returns what is to be subscribed to, and those results that are new here."""
        untold: dict[str, Subject] = {}
        added: list[AsyncResult] = []
        with self._lock:
            if self._closing.is_set():
                raise closed_error()
            for result in results:
                subject = self._subjects.get(result.id)
                if subject is None:
                    subject = self._subjects[result.id] = Subject()
                if not subject.subscriptions:
                    # Nor does it help that another thread is about to subscribe: facts may come before it has.
                    untold[result.id] = subject
                if subject.hold(result, Weakly(result, self._graves) if weak else None):
                    added.append(result)
        return untold, added

    def _subscribed(self, subjects: Mapping[str, Subject]) -> None:
        """We are told of these from now on: have what was before looked at. Everything may have fired already."""
        with self._lock:
            over = []
            for task_id, subject in subjects.items():
                if self._subjects.get(task_id) is subject:
                    subject.subscriptions += 1
                else:
                    over.append(task_id)
            idle = not self._to_read
            self._to_read.extend(subjects)
        if over:
            self._reader.unsubscribe(over, self)
        if idle:
            self._looks.put(self._look)

    def remove(self, result: AsyncResult) -> None:
        """Wait for this result no longer."""
        self._clear_graves()
        with self._lock:
            subject = self._subjects.get(result.id)
            if subject is None or not subject.drop(id(result)) or subject.holders:
                return
            del self._subjects[result.id]
        self._unsubscribe([(result.id, subject)])

    def close(self) -> None:
        """Break every promise that is still open: it raises `Closed`. Idempotent."""
        with self._lock:
            self._closing.set()
            subjects, self._subjects = self._subjects, {}
        self._looks.stop()
        self._unsubscribe(subjects.items())
        if subjects:
            logger.info("the tracker was closed while %d tasks were waited for", len(subjects))
            self._callbacks.put(partial(_abandon, list(subjects.values()), closed_error()))

    def __call__(self, change: Change, /) -> None:
        """One fact was folded (see `Listener`)."""
        if isinstance(change.meta, TaskMeta) and change.meta.ready:
            self._finish(change.subject, change.meta)

    def _finish(self, task_id: str, meta: TaskMeta) -> None:
        """The first who comes here with an id settles its results."""
        with self._lock:
            subject = self._subjects.pop(task_id, None)
            if subject is None:
                return
            if not self._subjects:
                self._subjects = {}  # an emptied dict keeps the room that its entries took
            idle = not self._ended
            self._ended.append((task_id, subject, meta))
        if idle and not self._callbacks.put(self._settle):
            self._take_ended()

    def _settle(self) -> None:
        """On the callbacks' thread: keep the promises of all that ended meanwhile, in their order."""
        ended = self._take_ended()
        self._unsubscribe((task_id, subject) for task_id, subject, _ in ended)  # an id may have ended twice
        run = self._callbacks.run
        ended.reverse()
        while ended:  # each goes once its callbacks have run
            _, subject, meta = ended.pop()
            for result in subject.results():
                run(result.learn, meta, run)

    def _take_ended(self) -> list[tuple[str, Subject, TaskMeta]]:
        with self._lock:
            ended, self._ended = self._ended, []
        return ended

    def _unsubscribe(self, subjects: Iterable[tuple[str, Subject]]) -> None:
        """Nobody waits for these any more: they were taken out."""
        told = [task_id for task_id, subject in subjects for _ in range(subject.subscriptions)]
        if told:
            self._reader.unsubscribe(told, self)

    # On the thread of looks

    def _look(self) -> None:
        """Read what was registered, then once more what could not be read before."""
        with self._lock:
            ids, self._to_read = [task_id for task_id in self._to_read if task_id in self._subjects], []
        for at in range(0, len(ids), LOOK_IDS):
            self._read(ids[at : at + LOOK_IDS], None)
        again, self._to_retry = self._to_retry, []
        unsure, self._to_confirm = [task_id for task_id in self._to_confirm if task_id in self._subjects], []
        if (again or unsure) and not self._closing.wait(RETRY_SECONDS) and threading.main_thread().is_alive():
            if again:
                self._read(again, RETRY_SECONDS)
            if unsure:
                self._read(unsure, RETRY_SECONDS, applied=False)
            self._looks.put(self._look)

    def _read(self, ids: Sequence[str], timeout: float | None, *, applied: bool = True) -> None:
        """Finish those that are ready by now; as this view has it, if the latest cannot be had and `applied` says so."""
        latest = True
        try:
            try:
                known = self._reader.get_many(ids, timeout=timeout)
            except ViewError as error:
                latest, known = False, {}
                if applied:
                    logger.warning("taking %d tasks as they are in this view, for the latest cannot be had: %s", len(ids), error)
                    known = self._reader.get_many(ids, freshness="applied", timeout=timeout)
        except Closed as error:
            self._give_up(ids, error)
        except ViewError:
            self._to_retry.extend(ids)
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits must hear of it
            self._give_up(ids, error)
        else:
            for task_id, meta in known.items():
                if meta is not None and meta.ready:
                    self._finish(task_id, meta)
            if not latest:
                # A view that is filled anew lies behind the place from which we are told: what is between is only ever read.
                self._to_confirm.extend(ids)

    def _give_up(self, ids: Sequence[str], error: Exception) -> None:
        """Nobody will tell of these: break their promises."""
        with self._lock:
            left = {task_id: subject for task_id in ids if (subject := self._subjects.pop(task_id, None)) is not None}
        self._unsubscribe(left.items())
        if left:
            logger.error("%d tasks cannot be waited for: %s", len(left), error)
            self._callbacks.put(partial(_abandon, list(left.values()), error))

    # Clearing up

    def _clear_graves(self) -> None:
        """Forget the results that died unsettled."""
        while self._graves:
            try:
                grave = self._graves.popleft()
            except IndexError:  # another thread took it
                return
            with self._lock:
                subject = self._subjects.get(grave.task_id)
                # The address may be another result's by now.
                if subject is None or subject.holders.get(grave.key) is not grave:
                    continue
                subject.drop(grave.key)
                if subject.holders:
                    continue
                del self._subjects[grave.task_id]
            self._unsubscribe([(grave.task_id, subject)])


def _abandon(subjects: Sequence[Subject], error: BaseException) -> None:
    for subject in subjects:
        for result in subject.results():
            result.abandon(error)


def closed_error() -> Closed:
    """What a wait raises that cannot go on."""
    return Closed("The tracker was closed; the task itself goes on. Ask again with a new one: eventresults.connect(...).", what="tracker")
