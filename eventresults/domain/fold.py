"""The fold of a task: its facts, in log order, become one `TaskMeta`. Pure and total: no clock, no I/O, no exception.

A row that has expired counts as no row, so that it never matters whether the sweep has taken it yet; while it is still there, facts
that it holds are known again.
"""

from __future__ import annotations

from typing import Final, assert_never

from eventresults.domain.events import (
    DataErased,
    TaskFailed,
    TaskForgotten,
    TaskReceived,
    TaskRejected,
    TaskRetried,
    TaskRevoked,
    TaskRevokeRequested,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
    TaskUpdated,
    UnknownEvent,
)
from eventresults.domain.lives import Fields, closed, continued, expiry, known, mark_of, opened, reason_dropped
from eventresults.domain.meta import TaskMeta
from eventresults.domain.position import Position
from eventresults.domain.states import READY_STATES, TaskState

__all__ = ["UNFINISHED_EXPIRES", "Finishing", "TaskKind", "Telling", "apply", "reason_dropped"]

#: The facts that end an attempt for good.
Finishing = TaskSucceeded | TaskFailed | TaskRevoked
#: The facts that tell of a task.
Telling = TaskSent | TaskReceived | TaskStarted | TaskUpdated | Finishing | TaskRetried | TaskRejected
#: Whatever may stand under a task's key.
TaskKind = Telling | TaskRevokeRequested | TaskForgotten | DataErased | UnknownEvent

#: How long (ms) an unfinished life lasts after its latest fact.
UNFINISHED_EXPIRES: Final = 30 * 24 * 3600 * 1000

# Plain texts, as a row that was read back has them.
_PENDING: Final = TaskState.PENDING.value
_RECEIVED: Final = TaskState.RECEIVED.value
_STARTED: Final = TaskState.STARTED.value
_RETRY: Final = TaskState.RETRY.value
_SUCCESS: Final = TaskState.SUCCESS.value
_FAILURE: Final = TaskState.FAILURE.value
_REVOKED: Final = TaskState.REVOKED.value
_REJECTED: Final = TaskState.REJECTED.value
_IGNORED: Final = TaskState.IGNORED.value

_NEWBORN: Final = TaskMeta(task_id="")
_TELLING: Final = (TaskSent, TaskReceived, TaskStarted, TaskUpdated, TaskSucceeded, TaskFailed, TaskRevoked, TaskRetried, TaskRejected)
_REOPENS: Final = (TaskSent, TaskReceived, TaskStarted, TaskSucceeded, TaskFailed, TaskRevoked)
#: What an attempt leaves behind, and the next fact that sets the state takes away.
_OUTCOME: Final = ("result", "error", "traceback", "children", "runtime", "date_done", "finished", "revocation", "retry_at", "request")


def apply(
    meta: TaskMeta | None,
    event: TaskKind,
    at: Position,
    log_time: int,
    *,
    unfinished_expires: int = UNFINISHED_EXPIRES,
) -> TaskMeta | None:
    """What is known of a task after one more fact. `log_time` and `unfinished_expires` (0: never) are milliseconds.

    Returns `meta` itself (the same object, or None) exactly when the fact is dropped, for which `reason_dropped` has the reason: such
    a fact enters no history. Otherwise a new object whose `last_offset` is the fact's own.
    """
    mark = mark_of(event.event_id)
    if meta is not None and known(meta, mark, at):
        return meta
    before = meta
    if meta is not None and meta.expires_at is not None and log_time >= meta.expires_at:
        before = None
    if before is None or before.phase == "forgotten":
        if isinstance(event, UnknownEvent | DataErased) or not _opens_life(before, event):
            return meta
        fields = opened(meta, mark, at, log_time)
        fields["task_id"] = event.task_id
        before = _NEWBORN
    else:
        fields = continued(before, mark, at, log_time)

    if before.phase == "requested" and isinstance(event, _TELLING):
        fields.pop("phase")
    if isinstance(event, TaskForgotten) and not event.observed:
        return TaskMeta.sparse({**closed(fields), "task_id": event.task_id, "date_done": event.time})
    if before.state == _SUCCESS:
        _complete(event, fields)
    else:
        (_inform if event.observed else _decide)(before, event, fields, log_time)
        if fields.get("state", _PENDING) not in READY_STATES:
            fields["expires_at"] = log_time + unfinished_expires if unfinished_expires else None
    return TaskMeta.sparse(fields)


def _opens_life(tombstone: TaskMeta | None, event: Telling | TaskRevokeRequested | TaskForgotten) -> bool:
    """Whether a fact begins something where nothing is (None), or where a life was forgotten."""
    if tombstone is not None:
        if not event.observed:
            return isinstance(event, _REOPENS)
        return isinstance(event, TaskSent) and tombstone.date_done is not None and event.time > tombstone.date_done
    # An observed wish binds nobody, and there is nothing else to know of it.
    return not isinstance(event, TaskForgotten) and not (isinstance(event, TaskRevokeRequested) and event.observed)


def _decide(before: TaskMeta, event: TaskKind, fields: Fields, log_time: int) -> None:
    """Fold a fact told by whoever brought it about, into a life that is not SUCCESS."""
    match event:
        case TaskStarted():
            _start(before, event, fields)
        case TaskSucceeded() | TaskFailed() | TaskRevoked():
            _finish(before, event, fields, log_time)
        case TaskSent():
            _take(fields, event, _LATEST)
            _send(event, fields)
        case TaskReceived():
            if before.state == _PENDING:
                fields["state"] = _RECEIVED
            if before.received_at is None:
                fields["received_at"] = event.time
            _take(fields, event, ("worker",))
        case TaskUpdated() | TaskRetried() | TaskRejected():
            _go_on(before, event, fields)
        case TaskRevokeRequested():
            _request(before, event, fields)
        case TaskForgotten() | DataErased() | UnknownEvent():
            pass
        case _:
            assert_never(event)


def _inform(before: TaskMeta, event: TaskKind, fields: Fields, _log_time: int) -> None:
    """Fold a fact that was learned on the side, into a life that is not SUCCESS: it fills what is missing."""
    match event:
        case TaskStarted():
            _start_observed(before, event, fields)
        case TaskSucceeded() | TaskFailed():
            _fill(fields, event, ("worker", "runtime"))
            _close(before, event, fields)
        case TaskRetried() | TaskRejected() | TaskRevoked():
            _close(before, event, fields)
        case TaskUpdated():
            if event.state == _IGNORED:
                _close(before, event, fields)
        case TaskSent():
            _fill(fields, event, _LATEST)
            _send(event, fields)
        case TaskReceived():
            if before.received_at is None:
                fields["received_at"] = event.time
            _fill(fields, event, ("worker",))
        case TaskRevokeRequested() | TaskForgotten() | DataErased() | UnknownEvent():
            pass
        case _:
            assert_never(event)


def _complete(event: TaskKind, fields: Fields) -> None:
    """Fold a fact into a life that is SUCCESS, which nothing changes any more. What was told of its way there by others than its worker
    may come late, and fills what is missing.
    """
    match event:
        case TaskSent():
            _fill(fields, event, _LATEST)
            _send(event, fields)
        case TaskReceived():
            if fields.get("received_at") is None:
                fields["received_at"] = event.time
        case _:
            pass


def _take(fields: Fields, event: TaskKind, names: tuple[str, ...]) -> None:
    """Of these, what the fact knows replaces what was known."""
    for name in names:
        value = getattr(event, name)
        if value is not None:
            fields[name] = value


def _fill(fields: Fields, event: TaskKind, names: tuple[str, ...]) -> None:
    """Of these, what the fact knows is kept where nothing was known."""
    for name in names:
        value = getattr(event, name)
        if value is not None and fields.get(name) is None:
            fields[name] = value


def _end_attempt(fields: Fields) -> None:
    for name in _OUTCOME:
        fields.pop(name, None)


_LATEST: Final = ("name", "args", "kwargs", "queue", "retries")
_FIRST: Final = ("root_id", "group_id", "group_index", "eta", "expires", "ignore_result", "replay_of")


def _send(event: TaskSent, fields: Fields) -> None:
    _fill(fields, event, _FIRST)
    # A task is never its own ancestor.
    if event.parent_id != event.task_id:
        _fill(fields, event, ("parent_id",))
    if event.previous_id != event.task_id:
        _fill(fields, event, ("previous_id",))
    if fields.get("sent_at") is None:
        fields["sent_at"] = event.time


def _start(before: TaskMeta, event: TaskStarted, fields: Fields) -> None:
    """Open an attempt, unless the fact is of a run before the one that finished."""
    if before.date_done is not None and event.time < before.date_done:
        return
    _end_attempt(fields)
    fields.pop("progress", None)
    fields["state"] = _STARTED
    _open(before, _counted(before, event), fields)
    fields["started_at"] = event.time
    if before.first_started_at is None:
        fields["first_started_at"] = event.time
    _take(fields, event, ("worker", "pid", "request"))


def _counted(before: TaskMeta, event: TaskStarted) -> int:
    """Attempts with this start; a start that carries its number may come twice."""
    return before.attempts + 1 if event.attempt is None else max(before.attempts, event.attempt, 1)


def _open(before: TaskMeta, attempts: int, fields: Fields) -> None:
    """Another attempt runs. One that still did, as far as anybody told, was lost with its worker: that sends no word."""
    if before.running and attempts > before.attempts:
        fields["lost"] = before.lost + 1
    fields["attempts"] = attempts
    fields["running"] = True


def _close(before: TaskMeta, event: TaskKind, fields: Fields) -> None:
    """An attempt ended: the one that runs, or one taken for lost whose end was told late."""
    if before.lost and before.running and before.started_at is not None and event.time < before.started_at:
        fields["lost"] = before.lost - 1
    else:
        fields.pop("running", None)


def _start_observed(before: TaskMeta, event: TaskStarted, fields: Fields) -> None:
    """Open an attempt without touching the state; of a run before the one that finished, tell what is missing."""
    if before.date_done is not None and event.time < before.date_done:
        fields["attempts"] = max(before.attempts, event.attempt or 1)
    else:
        attempts = _counted(before, event)
        _open(before, attempts, fields)
        if before.finished or attempts > before.attempts:
            fields["started_at"] = event.time
        fields.pop("finished", None)
    if fields.get("started_at") is None:
        fields["started_at"] = event.time
    if before.first_started_at is None:
        fields["first_started_at"] = event.time
    _fill(fields, event, ("worker", "pid"))


def _finish(before: TaskMeta, event: Finishing, fields: Fields, log_time: int) -> None:
    """End the life's work. What is revoked gives way to a success alone, unless another attempt is open."""
    if before.state == _REVOKED and before.finished and not isinstance(event, TaskSucceeded):
        return
    _end_attempt(fields)
    fields.pop("running", None)
    fields.pop("revoke_request", None)
    fields["finished"] = True
    fields["date_done"] = event.time
    fields["expires_at"] = expiry(log_time, event.result_expires)
    if isinstance(event, TaskRevoked):
        fields["state"] = _REVOKED
        fields["revocation"] = {"reason": event.reason, "terminated": event.terminated, "signal": event.signal}
        _take(fields, event, ("error", "request"))
        return
    if isinstance(event, TaskSucceeded):
        fields["state"] = _SUCCESS
        _take(fields, event, ("result", "children", "runtime", "worker", "request"))
    else:
        fields["state"] = _FAILURE
        _take(fields, event, ("error", "traceback", "children", "runtime", "worker", "request"))
    if event.runtime is None and before.runtime is not None and before.date_done is None:
        fields["runtime"] = before.runtime  # one that was observed is this attempt's own


def _go_on(before: TaskMeta, event: TaskUpdated | TaskRetried | TaskRejected, fields: Fields) -> None:
    """Tell how the open attempt fares; nothing when none is open."""
    if before.finished:
        return
    _end_attempt(fields)
    if isinstance(event, TaskUpdated):
        fields["state"] = event.state
        fields["progress"] = fields["result"] = event.meta
        _take(fields, event, ("request",))
        return
    _close(before, event, fields)
    if isinstance(event, TaskRetried):
        fields["state"] = _RETRY
        _take(fields, event, ("error", "traceback", "request"))
        if event.when is not None:
            fields["retry_at"] = event.when
    else:
        fields["state"] = _REJECTED
        fields["finished"] = True
        fields["date_done"] = event.time


def _request(before: TaskMeta, event: TaskRevokeRequested, fields: Fields) -> None:
    """Mark the wish, unless it comes too late. It does not for a rejected task, which may be taken up again."""
    if before.finished and before.state in READY_STATES:
        return
    if before is _NEWBORN:
        fields["phase"] = "requested"
    fields["revoke_request"] = {"terminate": event.terminate, "signal": event.signal, "reason": event.reason, "by": event.by}
    if event.stamps is not None:
        fields["revoke_request"]["stamps"] = event.stamps
