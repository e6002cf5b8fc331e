"""The recorder: one method per fact, in Celery's words."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict, Unpack

import uuid_utils

from eventresults.codec.errors import encode_error
from eventresults.codec.shapes import PAYLOADS
from eventresults.codec.values import check_wire, encode_value
from eventresults.domain.events import (
    GroupFact,
    TaskEvent,
    TaskFailed,
    TaskForgotten,
    TaskReceived,
    TaskRejected,
    TaskRetried,
    TaskRevoked,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
    TaskUpdated,
)
from eventresults.errors import ValueNotEncodable, ValueTooLarge
from eventresults.log.appends import Append
from eventresults.log.forked import tell_of_forks
from eventresults.privacy.guard import Guard
from eventresults.recorder.appender import Appender

Appended = Append


class Envelope(TypedDict, total=False):
    """What every fact may be given beside its own fields. Left out or None: a new id, now, this recorder, and no.

    A fact appended again with the same `event_id` counts once. `observed` marks one that was learned on the side.
    """

    event_id: str | None
    time: datetime | None
    source: str | None
    observed: bool


class Recorder:
    """Appends facts about tasks. Any thread; many recorders may share one `Appender`.

    Every method hands over one fact and returns a future of its `Position`, done once the log has it. `future.accepted` is done once the
    fact survives kill -9 of this process: with an outbox, on return; without one, it is the future itself. Only the task's id is
    required; what is None is left out. All raise `InvalidTaskId`, `ValueNotEncodable`, `ValueTooLarge`, `EventCorrupt` (a field of the
    wrong type), `AppendTimeout` (a full buffer did not drain in time) and `Closed`. `result_expires` is in seconds, 0: never; left out,
    it is this recorder's default.
    """

    def __init__(
        self,
        appender: Appender,
        *,
        worker: str | None = None,
        source: str | None = None,
        result_expires: float | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._appender = appender
        self.worker = worker
        self._source_name = source or worker or "client"
        self._source: str | None = None
        self._result_expires = result_expires or 0
        self._guard = guard
        tell_of_forks(self)

    @property
    def source(self) -> str:
        """Who writes: `name@host/pid`."""
        source = self._source
        if source is None:
            name = self._source_name
            self._source = source = f"{name if '@' in name else f'{name}@{socket.gethostname()}'}/{os.getpid()}"
        return source

    def after_fork_in_child(self) -> None:
        """This is another process."""
        self._source = None

    @staticmethod
    def now() -> datetime:
        """The writer's clock, in UTC."""
        return datetime.now(UTC)

    def sent(
        self,
        task_id: str,
        *,
        name: str | None = None,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        parent_id: str | None = None,
        previous_id: str | None = None,
        root_id: str | None = None,
        group_id: str | None = None,
        group_index: int | None = None,
        eta: datetime | None = None,
        expires: datetime | None = None,
        retries: int | None = None,
        ignore_result: bool | None = None,
        replay_of: str | None = None,
        **envelope: Unpack[Envelope],
    ) -> Appended:
        """The task was handed to a queue."""
        fields = {
            "name": name,
            "args": None if args is None else [encode_value(one) for one in args],
            "kwargs": None if kwargs is None else {key: encode_value(one) for key, one in kwargs.items()},
            "queue": queue,
            "parent_id": parent_id,
            "previous_id": previous_id,
            "root_id": root_id,
            "group_id": group_id,
            "group_index": group_index,
            "eta": eta,
            "expires": expires,
            "retries": retries,
            "ignore_result": ignore_result,
            "replay_of": replay_of,
        }
        return self._record(TaskSent.kind, task_id, fields, envelope)

    def received(self, task_id: str, *, worker: str | None = None, **envelope: Unpack[Envelope]) -> Appended:
        """A worker took the task from the queue."""
        return self._record(TaskReceived.kind, task_id, {"worker": worker or self.worker}, envelope)

    def started(
        self, task_id: str, *, worker: str | None = None, pid: int | None = None, attempt: int | None = None, **envelope: Unpack[Envelope]
    ) -> Appended:
        """An attempt began; `attempt` counts from 1."""
        return self._record(TaskStarted.kind, task_id, {"worker": worker or self.worker, "pid": pid, "attempt": attempt}, envelope)

    def updated(self, task_id: str, *, state: str = "PROGRESS", meta: Any = None, **envelope: Unpack[Envelope]) -> Appended:
        """The task said how far it is."""
        return self._record(TaskUpdated.kind, task_id, {"state": state, "meta": encode_value(meta)}, envelope)

    def succeeded(
        self,
        task_id: str,
        *,
        result: Any = None,
        children: Sequence[Any] | None = None,
        runtime: float | None = None,
        worker: str | None = None,
        result_expires: float | None = None,
        **envelope: Unpack[Envelope],
    ) -> Appended:
        """The task returned `result`; `runtime` in seconds.

        What keeps a result from being recorded (`ValueNotEncodable`, `ValueTooLarge`) is raised, and recorded as the task's failure.
        """
        fields = {"runtime": runtime, "worker": worker or self.worker, "result_expires": self._expires(result_expires)}
        try:
            return self._record(TaskSucceeded.kind, task_id, {"result": encode_value(result), "children": children, **fields}, envelope)
        except (ValueNotEncodable, ValueTooLarge) as error:
            # Another fact, with an event id of its own: the caller's stays free for the success that may yet be recorded.
            self._record(TaskFailed.kind, task_id, {"error": encode_error(error), **fields}, {**envelope, "event_id": None})
            raise

    def failed(
        self,
        task_id: str,
        *,
        error: BaseException | Mapping[str, Any] | None = None,
        traceback: str | None = None,
        children: Sequence[Any] | None = None,
        runtime: float | None = None,
        worker: str | None = None,
        result_expires: float | None = None,
        **envelope: Unpack[Envelope],
    ) -> Appended:
        """The task raised `error`."""
        fields = {
            "error": _error(error),
            "traceback": traceback,
            "children": children,
            "runtime": runtime,
            "worker": worker or self.worker,
            "result_expires": self._expires(result_expires),
        }
        return self._record(TaskFailed.kind, task_id, fields, envelope)

    def retried(
        self,
        task_id: str,
        *,
        error: BaseException | Mapping[str, Any] | None = None,
        traceback: str | None = None,
        when: datetime | None = None,
        **envelope: Unpack[Envelope],
    ) -> Appended:
        """An attempt ended, and the task will be tried again at `when`."""
        return self._record(TaskRetried.kind, task_id, {"error": _error(error), "traceback": traceback, "when": when}, envelope)

    def revoked(
        self,
        task_id: str,
        *,
        reason: str | None = None,
        terminated: bool | None = None,
        signal: str | None = None,
        result_expires: float | None = None,
        **envelope: Unpack[Envelope],
    ) -> Appended:
        """The task will not run, or its run was ended."""
        fields = {"reason": reason, "terminated": terminated, "signal": signal, "result_expires": self._expires(result_expires)}
        return self._record(TaskRevoked.kind, task_id, fields, envelope)

    def rejected(self, task_id: str, *, requeue: bool | None = None, **envelope: Unpack[Envelope]) -> Appended:
        """The worker refused the task."""
        return self._record(TaskRejected.kind, task_id, {"requeue": requeue}, envelope)

    def forgotten(self, task_id: str, *, reason: str | None = None, **envelope: Unpack[Envelope]) -> Appended:
        """The result is no longer wanted."""
        return self._record(TaskForgotten.kind, task_id, {"reason": reason}, envelope)

    def append(self, event: TaskEvent, *, timeout: float | None = None) -> Appended:
        """Append any event, built by the caller; an empty `event_id`, `source` or `result_expires` is filled in.

        Its payloads must be wire values (see `eventresults.codec.values`), else `ValueNotEncodable`. `timeout` (seconds; None: the
        append timeout) bounds how long this may block: `AppendTimeout` then. A log that is not open yet is opened meanwhile.
        """
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        for payload in PAYLOADS & fields.keys():
            check_wire(fields[payload], name=payload)
        envelope = Envelope(**{name: fields.pop(name) or None for name in Envelope.__annotations__})  # type: ignore[typeddict-item]
        subject_field = "group_id" if isinstance(event, GroupFact) else "task_id"
        subject = fields.pop(subject_field)
        if "result_expires" in fields:
            fields["result_expires"] = self._expires(fields["result_expires"])
        return self._record(event.kind, subject, fields, envelope, subject_field=subject_field, timeout=timeout)

    @property
    def keeps_private(self) -> bool:
        """Whether values are made private before they are recorded: what could not be looked into afterwards (a repr) is not for it."""
        return self._guard is not None

    def about(
        self, task_id: str, *, name: str | None = None, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None
    ) -> None:
        """Learn what a task is whose later facts are recorded here, and `sent` elsewhere. Records nothing.

        What keeps values private (see `redact` and `encrypt`) may go by a task's name and arguments. Raises nothing.
        """
        if self._guard is not None:
            self._guard.about(str(task_id), name=name, args=args, kwargs=kwargs)

    def open_soon(self) -> None:
        """Have the log opened meanwhile, so that the first fact need not wait for that. Raises `Closed`."""
        self._appender.open_soon()

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until every fact of this process is acknowledged or has failed; False when `timeout` seconds were not enough."""
        return self._appender.flush(timeout)

    def _expires(self, result_expires: float | None) -> float:
        return self._result_expires if result_expires is None else result_expires

    def _record(
        self,
        kind: str,
        subject: str,
        fields: dict[str, Any],
        envelope: Envelope,
        *,
        subject_field: str = "task_id",
        timeout: float | None = None,
    ) -> Appended:
        subject = str(subject) if isinstance(subject, int) else subject  # type: ignore[unreachable]
        if self._guard is not None:
            fields = self._guard.fields(kind, subject, fields)
        fields["event_id"] = uuid_utils.uuid7().hex
        fields[subject_field] = subject
        fields["time"] = datetime.now(UTC)
        fields["source"] = self.source
        if envelope:
            if unknown := envelope.keys() - Envelope.__annotations__.keys():
                raise TypeError(f"a {kind} fact has no {', '.join(sorted(unknown))}")
            fields |= {name: value for name, value in envelope.items() if value}
        return self._appender.append(subject, kind, fields, timeout=timeout)


def _error(error: BaseException | Mapping[str, Any] | None) -> dict[str, Any] | None:
    if error is None or isinstance(error, BaseException):
        return None if error is None else encode_error(error)
    facts = dict(error)
    check_wire(facts, name="error")
    return facts
