"""What Celery stores of a task, as a fact; and a task as the log tells it, as what Celery reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

from celery import states
from celery.exceptions import TaskRevokedError

from eventresults.client.decoding import Decoder
from eventresults.client.tuples import plain
from eventresults.codec.errors import encode_error
from eventresults.codec.values import decode_as, encode_value
from eventresults.contrib.celery.sent import arguments
from eventresults.domain.events import TaskEvent, TaskFailed, TaskRetried, TaskRevoked, TaskStarted, TaskSucceeded, TaskUpdated
from eventresults.domain.meta import TaskMeta
from eventresults.recorder import Recorder

if TYPE_CHECKING:
    from eventresults.contrib.celery.backend import EventResultsBackend

#: What `result_extended` tells of a request, besides its stamps.
_EXTENDED = ("name", "args", "kwargs", "worker", "retries", "queue")
_PAYLOADS = ("args", "kwargs", "stamps")


def stored(
    backend: EventResultsBackend,
    task_id: str,
    result: Any,
    state: str,
    traceback: Any,
    request: Any,
    *,
    event_id: str,
    runtime: float | None,
    when: datetime | None = None,
) -> TaskEvent:
    """The fact that `store_result` was called with this; `result` is as `encode_result` made it."""
    common: dict[str, Any] = {"event_id": event_id, "task_id": task_id, "time": Recorder.now(), "request": _request(backend, request)}
    worker = getattr(request, "hostname", None)
    traceback = None if traceback is None else str(traceback)
    children = plain(backend.current_task_children(request))
    match state:
        case states.SUCCESS:
            return TaskSucceeded(
                **common,
                result=backend.payloads.encode(result),
                children=children,
                runtime=runtime,
                worker=worker,
                result_expires=backend.expires or 0,
            )
        case states.FAILURE:
            return TaskFailed(
                **common,
                error=_error(backend, result),
                traceback=traceback,
                children=children,
                runtime=runtime,
                worker=worker,
                result_expires=backend.failure_expires or 0,
            )
        case states.RETRY:
            return TaskRetried(**common, error=_error(backend, result), traceback=traceback, when=when)
        case states.REVOKED:
            reason = _reason(result)
            return TaskRevoked(
                **common,
                reason=reason,
                terminated=reason == "terminated",
                error=_error(backend, result),
                result_expires=backend.expires or 0,
            )
        case states.STARTED if _is_start(result):
            return TaskStarted(**common, worker=result["hostname"], pid=result["pid"])
        case _:
            return TaskUpdated(**common, state=state, meta=backend.payloads.encode(result))


def revocation_id(task_id: str, reason: str | None, meta: TaskMeta | None = None) -> str:
    """The event id of a revocation: the same for each worker that announces it, another one for each life and attempt."""
    life = (-1, 0) if meta is None else (meta.first_offset, meta.attempts)
    told = json.dumps([task_id, reason, *life])
    return blake2b(told.encode(), digest_size=16).hexdigest()


def read(backend: EventResultsBackend, task_id: str, meta: TaskMeta | None) -> dict[str, Any]:
    """The dict that Celery's own backends give for a task; an unknown one is PENDING.

    Raises kombu's `ContentDisallowed`, and Celery's `SecurityError` for an exception that is none.
    """
    if meta is None:
        return {"status": states.PENDING, "result": None}
    state = str(meta.state)
    ready = state in states.READY_STATES and meta.date_done is not None
    request = meta.request or {}
    known: dict[str, Any] = {
        "task_id": task_id,
        "status": state,
        "result": backend.decoder.error(meta) if state in states.EXCEPTION_STATES else backend.decoder.result(meta),
        "traceback": meta.traceback,
        "children": meta.children,
        "date_done": meta.date_done.astimezone(backend.app.timezone).isoformat() if ready and meta.date_done else None,
    }
    for name in ("group_id", "parent_id"):
        value = request.get(name) or getattr(meta, name)
        if value is not None:
            known[name] = value
    for name in _EXTENDED:
        if name in request:
            known[name] = backend.payloads.decode(request[name]) if name in _PAYLOADS else request[name]
        elif name not in _PAYLOADS and getattr(meta, name) is not None:
            known[name] = getattr(meta, name)
    if "stamps" in request:
        known |= backend.payloads.decode(request["stamps"])
    return known


class CeleryDecoder(Decoder):
    """Reads payloads as the Celery app does whose backend this is. What is not Celery's is read by our own rules."""

    def __init__(self, backend: EventResultsBackend) -> None:
        self._backend = backend

    def value(self, wire: Any) -> Any:
        """See `Decoder.value`."""
        return self._backend.payloads.decode(wire)

    def value_as(self, wire: Any, as_type: Any) -> Any:
        """See `Decoder.value_as`."""
        return decode_as(encode_value(self.value(wire)), as_type)

    def args(self, wire: Any) -> Any:
        """See `Decoder.args`; a text, where only their repr is told."""
        return self.value(wire)

    def kwargs(self, wire: Any) -> Any:
        """As `args`."""
        return self.value(wire)

    def result(self, meta: TaskMeta) -> Any:
        """The return value, the meta of the last update, or where a started task runs, as Celery tells it."""
        if meta.state == states.STARTED and meta.result is None and meta.pid is not None:
            return {"pid": meta.pid, "hostname": meta.worker}
        return self.value(meta.result)

    def error(self, meta: TaskMeta) -> BaseException | None:
        """See `Decoder.error`."""
        error = meta.error
        if error is None and meta.state == states.REVOKED:
            revoked: BaseException = TaskRevokedError((meta.revocation or {}).get("reason") or "revoked")
            return revoked
        if not isinstance(error, dict) or "payload" not in error:
            return super().error(meta)
        prepared = self.value(error["payload"])
        if isinstance(prepared, BaseException) or (isinstance(prepared, Mapping) and "exc_type" in prepared):
            return cast("BaseException | None", self._backend.exception_to_python(prepared))
        return None if prepared is None else Exception(prepared)  # whatever `update_state` was given


def _error(backend: EventResultsBackend, prepared: Any) -> dict[str, Any]:
    """What `prepare_exception` made, untouched; beside it our four fields, as far as they can be told."""
    payload = {"payload": backend.payloads.encode(prepared)}
    if isinstance(prepared, BaseException):
        return encode_error(prepared) | payload
    if not isinstance(prepared, Mapping) or not isinstance(prepared.get("exc_type"), str):
        return payload
    said = prepared.get("exc_message")
    args = list(said) if isinstance(said, list | tuple) else [] if said is None else [said]
    told = encode_error(Exception(*args))
    module = prepared.get("exc_module")
    return told | {"type": prepared["exc_type"], "module": module if isinstance(module, str) else None} | payload


def _request(backend: EventResultsBackend, request: Any) -> dict[str, Any] | None:
    """What Celery's backends store of a request."""
    if not request:
        return None
    known: dict[str, Any] = {"group_id": getattr(request, "group", None), "parent_id": getattr(request, "parent_id", None)}
    known = {name: value for name, value in known.items() if value}
    if backend.is_extended:
        delivery = getattr(request, "delivery_info", None)
        known |= {
            "name": getattr(request, "task", None),
            "args": arguments(backend, getattr(request, "args", None), getattr(request, "argsrepr", None)),
            "kwargs": arguments(backend, getattr(request, "kwargs", None), getattr(request, "kwargsrepr", None)),
            "worker": getattr(request, "hostname", None),
            "retries": getattr(request, "retries", None),
            "queue": delivery.get("routing_key") if delivery else None,
        }
        if getattr(request, "stamps", None):
            named = request.stamped_headers or ()
            stamps = {name: value for name, value in request.stamps.items() if name in named}
            known["stamps"] = backend.payloads.encode({"stamped_headers": request.stamped_headers, **stamps})
    return known or None


def _reason(prepared: Any) -> str | None:
    said = prepared.args if isinstance(prepared, BaseException) else prepared.get("exc_message") if isinstance(prepared, Mapping) else None
    first = said[0] if isinstance(said, list | tuple) and said else said
    return first if isinstance(first, str) else None


def _is_start(result: Any) -> bool:
    return isinstance(result, dict) and result.keys() == {"pid", "hostname"} and type(result["pid"]) is int and result["pid"] <= _MAX_PID


_MAX_PID = 2**31
