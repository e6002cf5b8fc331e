"""What an executor tells the log about its tasks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import uuid_utils

from eventresults.client.result import ResultBase
from eventresults.domain.position import Position
from eventresults.errors import AppendTimeout, EventResultsError, RemoteTaskError, ValueNotEncodable, ValueTooLarge
from eventresults.log.outbox import Forwarded

if TYPE_CHECKING:
    from eventresults.recorder import Recorder
    from eventresults.worker.attempt import Again, Raised, Returned, Stopped
    from eventresults.worker.job import Job

logger = logging.getLogger(__name__)

Verb = Callable[..., "Future[Position]"]

#: Facts without which nobody learns that the task ended.
FINISHING = {"succeeded", "failed", "revoked"}
#: No topic refuses less for its size.
LARGE_BYTES = 64 * 1024
#: Between two tries.
PAUSE_SECONDS = 0.05
#: Characters kept of an argument that cannot be recorded as a value.
SHOWN = 1000


class Facts:
    """Records the facts of one executor's tasks. Any thread.

    What a caller asks for (`sent`, `updated`) raises the recorder's errors to the caller. What the executor tells on its own account
    never raises, for a worker must outlive its log: while the log accepts nothing it waits, until `give_up`; what is lost is logged.
    """

    def __init__(self, recorder: Recorder, *, worker: str, later: Callable[[Callable[[], object]], None]) -> None:
        self._recorder = recorder
        self.worker = worker
        self._later = later
        self._given_up = threading.Event()

    def give_up(self) -> None:
        """Wait for the log no longer."""
        self._given_up.set()

    def sent(self, job: Job, *, complete: bool) -> None:
        """The executor accepted the job. Not `complete`: its arguments are still to come."""
        fields: dict[str, Any] = {
            "name": job.name,
            "queue": job.queue,
            "parent_id": job.parent_id,
            "previous_id": job.previous_id,
            "root_id": job.root_id,
            "group_id": job.group_id,
            "group_index": job.group_index,
            "eta": job.eta,
            "expires": job.expires,
            "replay_of": job.replay_of,
        }
        if not complete:
            self._recorder.sent(job.id, **fields)
            return
        args, kwargs = job.call.args, job.call.kwargs
        try:
            self._recorder.sent(job.id, args=args, kwargs=kwargs, **fields)
        except (ValueNotEncodable, ValueTooLarge) as error:
            # The work needs the arguments, the log only tells of them: any object may be one.
            flag = "too-large" if isinstance(error, ValueTooLarge) else "not-encodable"
            shown = {name: _shown(value, flag) for name, value in kwargs.items()}
            self._recorder.sent(job.id, args=[_shown(one, flag) for one in args], kwargs=shown, **fields)

    def updated(self, task_id: str, state: str, meta: Any) -> None:
        """The task said how far it is."""
        self._recorder.updated(task_id, state=state, meta=meta, source=self.worker)

    def started(self, job: Job, pid: int) -> None:
        """An attempt begins."""
        if self._recorder.keeps_private:  # what `sent` told may be long ago
            self._recorder.about(job.id, name=job.name, args=job.call.args, kwargs=job.call.kwargs)
        self._tell(self._recorder.started, job, pid=pid, attempt=job.attempt, worker=self.worker)

    def succeeded(self, job: Job, outcome: Returned, children: Sequence[Any]) -> bool:
        """The task returned. False when its value cannot be recorded, so that the task was recorded as failed."""
        value: Any = outcome.value
        if isinstance(value, ResultBase) and hasattr(value, "as_tuple"):
            value = value.as_tuple()
        fields: dict[str, Any] = {"children": children, "runtime": outcome.runtime, "worker": self.worker}
        try:
            self._tell(self._recorder.succeeded, job, result=value, **fields)
        except (ValueNotEncodable, ValueTooLarge):
            return False  # the recorder wrote `failed` with this error
        return True

    def failed(self, job: Job, outcome: Raised, children: Sequence[Any]) -> None:
        """The task raised."""
        fields: dict[str, Any] = {"children": children, "runtime": outcome.runtime, "worker": self.worker}
        try:
            self._tell(self._recorder.failed, job, error=outcome.error, traceback=outcome.traceback, **fields)
        except (ValueNotEncodable, ValueTooLarge) as error:
            self._tell(self._recorder.failed, job, error=self._substitute(outcome.error, error), **fields)

    def retried(self, job: Job, outcome: Again) -> datetime:
        """The task asked for another attempt; returns when it is due."""
        when = datetime.now(UTC) + timedelta(seconds=outcome.countdown)
        try:
            self._tell(self._recorder.retried, job, error=outcome.error, traceback=outcome.traceback, when=when)
        except (ValueNotEncodable, ValueTooLarge) as error:
            self._tell(self._recorder.retried, job, error=self._substitute(outcome.error, error), when=when)
        return when

    def revoked(self, job: Job, *, reason: str | None) -> None:
        """The task will not run."""
        self._tell(self._recorder.revoked, job, reason=reason, terminated=False)

    def stopped(self, job: Job, outcome: Stopped, *, reason: str | None) -> None:
        """The task's run was ended."""
        self._tell(self._recorder.revoked, job, reason=reason, terminated=outcome.signal is not None, signal=outcome.signal)

    def _tell(self, verb: Verb, job: Job, **fields: Any) -> None:
        """Record a fact; raises only what says that its value is no good."""
        # One id however often it is tried: the fold counts it once.
        self._insist(verb, job, {"event_id": uuid_utils.uuid7().hex, "time": self._recorder.now(), "source": self.worker, **fields})

    def _insist(self, verb: Verb, job: Job, fields: Mapping[str, Any]) -> None:
        while True:
            try:
                future = verb(job.id, **fields)
            except (ValueNotEncodable, ValueTooLarge):
                raise
            except AppendTimeout as error:
                if not self._given_up.is_set():
                    logger.warning("the log accepts no facts of task %s yet, trying on: %s", job.id, error)
                    self._given_up.wait(PAUSE_SECONDS)
                    continue
                self._lost(verb, job, error)
            except EventResultsError as error:
                self._lost(verb, job, error)
            else:
                self._watch(future, lambda done: self._told(verb, job, fields, done))
            return

    def _watch(self, future: Future[Position], told: Callable[[Future[Position]], None]) -> None:
        if not isinstance(future, Forwarded):
            future.add_done_callback(told)
        elif future.size > LARGE_BYTES:
            # What an outbox has accepted is not lost, and hours of it are not to be kept in memory. But the log may refuse it for its size.
            future.add_done_callback(lambda done: told(done) if isinstance(done.exception(), ValueTooLarge) else None)

    def _told(self, verb: Verb, job: Job, fields: Mapping[str, Any], done: Future[Position]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is None:
            return
        # What follows from it happens elsewhere: this is the log's own thread.
        if isinstance(error, AppendTimeout) and verb.__name__ in FINISHING and not self._given_up.is_set():
            logger.warning("the log did not take the end of task %s in time, trying again: %s", job.id, error)
            self._later(lambda: self._insist(verb, job, fields))
            return
        self._lost(verb, job, error)
        if isinstance(error, ValueTooLarge) and verb.__name__ == "succeeded":
            self._later(lambda: self._tell(self._recorder.failed, job, error=error, worker=self.worker))

    def _substitute(self, original: BaseException | Mapping[str, Any] | None, reason: Exception) -> BaseException:
        """An error that can be recorded, for one that cannot."""
        name = original.get("type") if isinstance(original, Mapping) else type(original).__name__
        return RemoteTaskError(
            f"The task failed with {name}, which could not be recorded ({type(reason).__name__}: {reason}).",
            type=name,
            # A repr would tell what is to be kept private, and nobody could find it there.
            remote_message=f"<{name}>" if self._recorder.keeps_private else _show(original),
        )

    def _lost(self, verb: Verb, job: Job, error: BaseException) -> None:
        logger.error("a fact of task %s is lost (%s): %s", job.id, verb.__name__, error)


def _shown(value: Any, flag: str) -> dict[str, str]:
    """What stands in the place of an argument of which only its repr can be told."""
    return {"repr": _show(value), "flag": flag}


def _show(value: Any) -> str:
    try:
        return repr(value)[:SHOWN]
    except Exception as error:  # noqa: BLE001 - a task may be sent whatever its arguments' repr does
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
