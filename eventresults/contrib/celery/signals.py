"""What Celery's signals tell of tasks, as observed facts. One receiver per signal and process serves all apps.

    after_task_publish   sent       of the backend whose `on_task_call` just ran on this thread
    task_received        received   in the worker's main process, without waiting
    task_prerun          started    unless Celery stores STARTED itself
    task_retry           retried    }
    task_revoked         revoked    }  where Celery stored nothing of it: what it stored is told by that
    task_postrun         rejected, ignored; for tracked tasks whose result is ignored also how they ended

Of an unknown task Celery stores the failure before it sends `task_unknown`, and of a worker that was lost nobody sends anything: the
fold closes its attempt when the next one starts.
"""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, WeakSet

from celery import current_app, signals, states
from celery._state import get_current_worker_task
from celery.app.trace import get_actual_ignore_result

from eventresults.codec.errors import encode_error
from eventresults.contrib.celery.facts import revocation_id
from eventresults.contrib.celery.sent import sent
from eventresults.domain.events import (
    TaskEvent,
    TaskFailed,
    TaskReceived,
    TaskRejected,
    TaskRetried,
    TaskRevoked,
    TaskStarted,
    TaskSucceeded,
    TaskUpdated,
)
from eventresults.recorder import Recorder

if TYPE_CHECKING:
    from eventresults.contrib.celery.backend import EventResultsBackend

_FLUSH_SECONDS: Final = 5.0
#: What `Options.observe` calls the ends that `task_postrun` tells of.
_ENDS: Final = {states.REJECTED: "rejected", states.IGNORED: "ignored", states.SUCCESS: "finished", states.FAILURE: "finished"}
_TOLD_BY_STORING: Final = frozenset({states.SUCCESS, states.FAILURE})

_backends: WeakSet[EventResultsBackend] = WeakSet()


class _Call(threading.local):
    """Of the thread: the task that it is about to publish, and whose it is."""

    task_id: str | None = None
    backend: EventResultsBackend | None = None


_call = _Call()
#: By the request that runs: when it began (monotonic).
_began: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
#: By the request that runs: when its next attempt is due, as its message said.
_due: WeakKeyDictionary[Any, datetime | None] = WeakKeyDictionary()


def serve(backend: EventResultsBackend) -> None:
    """Tell this backend of its tasks from now on, for as long as it lives."""
    _backends.add(backend)
    for signal, receiver in _RECEIVERS:
        signal.connect(receiver, weak=False, dispatch_uid=f"eventresults-{signal.name}")


def serves(backend: Any) -> bool:
    """Whether this is one of our backends."""
    return backend in _backends


def calling(backend: EventResultsBackend, task_id: str) -> None:
    """This thread is about to publish a task of this backend."""
    _call.task_id, _call.backend = str(task_id), backend


def runtime_of(request: Any) -> float | None:
    """Seconds since this request began to run, in this process; None where it does not."""
    began = None if request is None else _began.get(request)
    return None if began is None else monotonic() - began


def due_of(request: Any) -> datetime | None:
    """When the next attempt of this request is due, once that was sent."""
    return None if request is None else _due.get(request)


# Receivers


def _published(sender: str, body: Any = None, headers: Any = None, routing_key: Any = None, **_: Any) -> None:
    told = headers if headers and "id" in headers else body
    task_id = str(told["id"])
    backend, ignored = _call.backend, False
    if backend is None or _call.task_id != task_id:
        backend, ignored = _of_ignored(sender), True
    _call.task_id = _call.backend = None
    if backend is None:
        return
    running = get_current_worker_task()
    if running is not None and running.request.id == task_id:
        _due[running.request] = None if not told.get("eta") else datetime.fromisoformat(told["eta"])
    if backend.observer.wants("sent", ignored=ignored):
        backend.observer.tell(partial(sent, backend, sender, headers, body, routing_key), durable=backend.options.sent_durable)


def _received(request: Any, **_: Any) -> None:
    backend = _backend_of(request.task)
    if backend is None:
        return
    if backend.revokes is not None:
        backend.revokes.look(str(request.id))
    if backend.observer.wants("received", ignored=request.ignore_result):
        backend.observer.tell(lambda: TaskReceived(**_about(request.id), worker=request.hostname), waits=False)


def _starting(task: Any, **_: Any) -> None:
    backend = _backend_of(task)
    if backend is None:
        return
    request = task.request
    ignored = get_actual_ignore_result(task, request)
    if request.is_eager and (ignored or not task.store_eager_result):
        return
    _began[request] = monotonic()
    backend.tell_about(request.id, task.name, request.args, request.kwargs)
    stored = task.track_started and not ignored and not request.is_eager
    if not stored and backend.observer.wants("started", ignored=ignored):
        backend.observer.tell(
            lambda: TaskStarted(**_about(request.id), worker=request.hostname, pid=os.getpid()),
            survives=_survives_its_worker(task),
        )


def _retrying(sender: Any, request: Any, reason: Any = None, **_: Any) -> None:
    backend = _backend_of(sender)
    if backend is None or request.is_eager or _is_stored(sender, request) or not backend.observer.wants("retried", ignored=True):
        return
    error = getattr(reason, "exc", None)
    backend.observer.tell(
        lambda: TaskRetried(**_about(request.id), error=None if error is None else encode_error(error), when=_when(reason, request))
    )


def _revoking(sender: Any, request: Any, terminated: bool = False, signum: Any = None, expired: bool = False, **_: Any) -> None:
    backend = _backend_of(sender)
    if backend is None or _is_stored(sender, request) or not backend.observer.wants("revoked", ignored=True):
        return
    reason = "expired" if expired else "terminated" if terminated else "revoked"
    backend.observer.tell(
        lambda: TaskRevoked(
            **_about(request.id, event_id=revocation_id(request.id, reason)),
            reason=reason,
            terminated=bool(terminated),
            signal=None if signum is None else str(signum),
        ),
        waits=False,
    )


def _ended(task: Any, retval: Any = None, state: str | None = None, **_: Any) -> None:
    backend = _backend_of(task)
    if backend is None:
        return
    request = task.request
    runtime = runtime_of(request)
    _began.pop(request, None)
    if runtime is None or state is None or state not in _ENDS:
        return
    ignored = get_actual_ignore_result(task, request)
    if not ignored and state in _TOLD_BY_STORING:
        return
    if state == states.FAILURE and task.store_errors_even_if_ignored:
        return
    if backend.observer.wants(_ENDS[state], ignored=ignored):
        backend.observer.tell(partial(_end, request, state, retval, runtime))


def _beginning(**_: Any) -> None:
    """A worker, or a process of its pool, begins: what is told of the first task is not to come late for that."""
    for backend in list(_backends):
        if backend.observer.wants("started"):
            backend.home.recorder.open_soon()


def _leaving(**_: Any) -> None:
    """A process of the pool ends, without running what Python would at its end."""
    for backend in list(_backends):
        backend.flush(_FLUSH_SECONDS)


_RECEIVERS: Final = (
    (signals.after_task_publish, _published),
    (signals.task_received, _received),
    (signals.task_prerun, _starting),
    (signals.task_retry, _retrying),
    (signals.task_revoked, _revoking),
    (signals.task_postrun, _ended),
    (signals.worker_ready, _beginning),
    (signals.worker_process_init, _beginning),
    (signals.worker_process_shutdown, _leaving),
)


def _backend_of(task: Any) -> EventResultsBackend | None:
    backend = task.backend
    return backend if backend in _backends else None


def _of_ignored(name: str) -> EventResultsBackend | None:
    """The backend that tracks ignored tasks and whose app has one of this name: the current app's, where that has one."""
    # The plain registry: asking for `app.tasks` would finish an app that is still being made.
    found = [backend for backend in list(_backends) if name in backend.app._tasks]  # noqa: SLF001
    current = current_app._get_current_object()  # noqa: SLF001 - as Celery's own backends do
    found = [backend for backend in found if backend.app is current] or found
    return next((backend for backend in found if backend.options.track_ignored), None)


def _is_stored(task: Any, request: Any) -> bool:
    """Whether Celery stores what goes wrong with the task."""
    return bool(task.store_errors_even_if_ignored) or not get_actual_ignore_result(task, request)


def _end(request: Any, state: str, retval: Any, runtime: float) -> TaskEvent:
    about = _about(request.id)
    match state:
        case states.REJECTED:
            return TaskRejected(**about, requeue=bool(getattr(retval, "requeue", False)))
        case states.IGNORED:
            return TaskUpdated(**about, state=states.IGNORED)
        case states.SUCCESS:
            return TaskSucceeded(**about, runtime=runtime, worker=request.hostname)
        case _:
            error = encode_error(retval) if isinstance(retval, BaseException) else None
            return TaskFailed(**about, error=error, runtime=runtime, worker=request.hostname)


def _survives_its_worker(task: Any) -> bool:
    """Whether the task runs again when its process dies, so that the log had better know of this attempt before it does anything."""
    return bool((task.acks_late and task.reject_on_worker_lost) or getattr(task, "retry_on_worker_lost", False))


def _about(task_id: Any, event_id: str = "") -> dict[str, Any]:
    return {"task_id": str(task_id), "event_id": event_id, "time": Recorder.now(), "observed": True}


def _when(reason: Any, request: Any) -> datetime | None:
    when = getattr(reason, "when", None)
    if isinstance(when, int | float):
        return datetime.now(UTC) + timedelta(seconds=when)
    return when if isinstance(when, datetime) and when.tzinfo else due_of(request)
