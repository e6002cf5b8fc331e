"""A published task message, as the fact that a task was sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from celery._state import get_current_worker_task
from celery.utils.saferepr import saferepr
from celery.utils.time import maybe_iso8601, maybe_make_aware

from eventresults.contrib.celery.payloads import shown
from eventresults.domain.events import TaskSent
from eventresults.recorder import Recorder

if TYPE_CHECKING:
    from eventresults.contrib.celery.backend import EventResultsBackend

_UNLOCK: Final = "celery.chord_unlock"
_predecessor: ContextVar[str | None] = ContextVar("predecessor", default=None)


@contextmanager
def following(previous_id: str) -> Iterator[None]:
    """What is published inside, by this thread, comes after this task or group in its chain: the body of a chord after its header."""
    token = _predecessor.set(previous_id)
    try:
        yield
    finally:
        _predecessor.reset(token)


def sent(backend: EventResultsBackend, name: str, headers: Mapping[str, Any], body: Any, routing_key: str | None) -> TaskSent:
    """The fact of one message, of either protocol."""
    if isinstance(body, Mapping):  # protocol 1
        told, args, kwargs = body, body.get("args"), body.get("kwargs")
    else:
        told, (args, kwargs, *_) = headers, body
    task_id = str(told["id"])
    group_id = told.get("group")
    eta, expires = told.get("eta"), told.get("expires")
    extended = backend.is_extended
    return TaskSent(
        task_id=task_id,
        time=Recorder.now(),
        observed=True,
        name=name,
        args=arguments(backend, args, told.get("argsrepr")) if extended else None,
        kwargs=arguments(backend, kwargs, told.get("kwargsrepr")) if extended else None,
        queue=routing_key,
        parent_id=_other(told.get("parent_id"), task_id),
        previous_id=_previous(task_id),
        root_id=told.get("root_id"),
        group_id=group_id,
        group_index=told.get("group_index"),
        eta=_moment(backend, eta) if eta else None,
        expires=_moment(backend, expires) if expires else None,
        retries=told.get("retries"),
        ignore_result=told.get("ignore_result"),
    )


def arguments(backend: EventResultsBackend, value: Any, given: Any) -> dict[str, Any]:
    """How the log tells of arguments: a repr that the sender gave (`argsrepr`) stands in their place."""
    if isinstance(given, str) and given and _plain(given) != _plain(_default_repr(backend, value)):
        return shown(given, "given")
    return backend.payloads.arguments(value)


def _default_repr(backend: EventResultsBackend, value: Any) -> str:
    """What Celery makes of arguments by itself."""
    amqp = backend.app.amqp
    size = amqp.kwargsrepr_maxsize if isinstance(value, Mapping) else amqp.argsrepr_maxsize
    return str(saferepr(value, size, maxlevels=backend.app.conf.task_repr_maxlevels))


def _plain(text: str) -> str:
    """The same for a tuple and for the list that a message makes of it."""
    return text.replace("(", "[").replace(")", "]").replace(",]", "]")


def _previous(task_id: str) -> str | None:
    """What precedes the task in its chain: the running task whose chain goes on with it; its header group, for a chord's body."""
    previous = _predecessor.get()
    if previous is not None:
        return _other(previous, task_id)
    running = get_current_worker_task()
    if running is None:
        return None
    request = running.request
    if request.chain and _id_of(request.chain[-1]) == task_id:
        return _other(request.id, task_id)
    if request.chord and _id_of(request.chord) == task_id:
        return _other(request.group, task_id)
    if running.name == _UNLOCK and len(request.args) > 1 and _id_of(request.args[1]) == task_id:
        return _other(request.args[0], task_id)
    return None


def _id_of(signature: Any) -> str | None:
    """The id of a task that is still to be sent."""
    options = signature.get("options") if isinstance(signature, Mapping) else None
    return options.get("task_id") if isinstance(options, Mapping) else None


def _other(id: Any, task_id: str) -> str | None:
    """An id, unless it is the task's own: no task is its own ancestor."""
    return None if id is None or str(id) == task_id else str(id)


def _moment(backend: EventResultsBackend, told: Any) -> datetime | None:
    moment = maybe_make_aware(maybe_iso8601(told), backend.app.timezone)
    return moment.astimezone(UTC) if isinstance(moment, datetime) else None
