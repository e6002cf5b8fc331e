"""What each kind of fact does to what is known of a task: one function a kind and a case, which `eventresults.domain.fold` calls.

Each takes the meta before the fact, the fact, the draft of the meta after it, which it changes, and the log time (ms). A field once
known survives a fact that does not know it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from eventresults.domain.events import (
    TaskEvent,
    TaskFailed,
    TaskReceived,
    TaskRejected,
    TaskRetried,
    TaskRevoked,
    TaskRevokeRequested,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
    TaskUpdated,
)
from eventresults.domain.lives import expiry
from eventresults.domain.meta import TaskDraft, TaskMeta
from eventresults.domain.states import READY_STATES, TaskState

Step = Callable[[TaskMeta, Any, TaskDraft, int], None]

# Plain texts, as a row that was read back has them.
PENDING: Final = TaskState.PENDING.value
SUCCESS: Final = TaskState.SUCCESS.value
_RECEIVED: Final = TaskState.RECEIVED.value
_STARTED: Final = TaskState.STARTED.value
_RETRY: Final = TaskState.RETRY.value
_FAILURE: Final = TaskState.FAILURE.value
_REVOKED: Final = TaskState.REVOKED.value
_REJECTED: Final = TaskState.REJECTED.value
_IGNORED: Final = TaskState.IGNORED.value

#: What comes before the first fact of a life.
NEWBORN: Final = TaskMeta(task_id="")


# --- facts told by whoever brought them about, of a life that is not SUCCESS


def send(_: TaskMeta, event: TaskSent, draft: TaskDraft, _log_time: int) -> None:
    """Fill what is missing, and take the latest of what a retry may tell anew."""
    if event.name is not None:
        draft.name = event.name
    if event.args is not None:
        draft.args = event.args
    if event.kwargs is not None:
        draft.kwargs = event.kwargs
    if event.queue is not None:
        draft.queue = event.queue
    if event.retries is not None:
        draft.retries = event.retries
    _send(event, draft)


def receive(before: TaskMeta, event: TaskReceived, draft: TaskDraft, _log_time: int) -> None:
    """Say that it was received, unless it got further meanwhile."""
    if before.state == PENDING:
        draft.state = _RECEIVED
    if draft.received_at is None:
        draft.received_at = event.time
    if event.worker is not None:
        draft.worker = event.worker


def start(before: TaskMeta, event: TaskStarted, draft: TaskDraft, _log_time: int) -> None:
    """Open an attempt, unless the fact is of a run before the one that finished."""
    if before.date_done is not None and event.time < before.date_done:
        return
    _end_attempt(draft)
    draft.progress = None
    draft.state = _STARTED
    _open(before, _counted(before, event), draft)
    draft.started_at = event.time
    if draft.first_started_at is None:
        draft.first_started_at = event.time
    if event.worker is not None:
        draft.worker = event.worker
    if event.pid is not None:
        draft.pid = event.pid
    draft.request = event.request


def update(before: TaskMeta, event: TaskUpdated, draft: TaskDraft, _log_time: int) -> None:
    """Tell how far the open attempt is; nothing when none is open."""
    if before.finished:
        return
    _end_attempt(draft)
    draft.state = event.state
    draft.progress = draft.result = event.meta
    draft.request = event.request


def retry(before: TaskMeta, event: TaskRetried, draft: TaskDraft, _log_time: int) -> None:
    """End the open attempt, after which another one comes; nothing when none is open."""
    if before.finished:
        return
    _end_attempt(draft)
    _close(before, event, draft)
    draft.state = _RETRY
    draft.error, draft.traceback, draft.request = event.error, event.traceback, event.request
    draft.retry_at = event.when


def reject(before: TaskMeta, event: TaskRejected, draft: TaskDraft, _log_time: int) -> None:
    """End the open attempt with a refusal; nothing when none is open."""
    if before.finished:
        return
    _end_attempt(draft)
    _close(before, event, draft)
    draft.state = _REJECTED
    draft.finished = True
    draft.date_done = event.time


def succeed(before: TaskMeta, event: TaskSucceeded, draft: TaskDraft, log_time: int) -> None:
    """End the life's work, whatever it came to before."""
    _finish(event, draft, log_time)
    draft.state = SUCCESS
    draft.result, draft.children, draft.request = event.result, event.children, event.request
    _measure(before, event, draft)


def fail(before: TaskMeta, event: TaskFailed, draft: TaskDraft, log_time: int) -> None:
    """End the life's work, unless it was revoked and no other attempt is open."""
    if _revoked(before):
        return
    _finish(event, draft, log_time)
    draft.state = _FAILURE
    draft.error, draft.traceback, draft.children, draft.request = event.error, event.traceback, event.children, event.request
    _measure(before, event, draft)


def revoke(before: TaskMeta, event: TaskRevoked, draft: TaskDraft, log_time: int) -> None:
    """End the life's work, unless it was revoked and no other attempt is open."""
    if _revoked(before):
        return
    _finish(event, draft, log_time)
    draft.state = _REVOKED
    draft.revocation = {"reason": event.reason, "terminated": event.terminated, "signal": event.signal}
    draft.error, draft.request = event.error, event.request


def request(before: TaskMeta, event: TaskRevokeRequested, draft: TaskDraft, _log_time: int) -> None:
    """Mark the wish, unless it comes too late. It does not for a rejected task, which may be taken up again."""
    if before.finished and before.state in READY_STATES:
        return
    if before is NEWBORN:
        draft.phase = "requested"
    draft.revoke_request = {"terminate": event.terminate, "signal": event.signal, "reason": event.reason, "by": event.by}
    if event.stamps is not None:
        draft.revoke_request["stamps"] = event.stamps


# --- facts learned on the side, of a life that is not SUCCESS: they fill what is missing


def send_observed(_: TaskMeta, event: TaskSent, draft: TaskDraft, _log_time: int) -> None:
    """Fill what is missing."""
    if draft.name is None:
        draft.name = event.name
    if draft.args is None:
        draft.args = event.args
    if draft.kwargs is None:
        draft.kwargs = event.kwargs
    if draft.queue is None:
        draft.queue = event.queue
    if draft.retries is None:
        draft.retries = event.retries
    _send(event, draft)


def receive_observed(_: TaskMeta, event: TaskReceived, draft: TaskDraft, _log_time: int) -> None:
    """Fill what is missing."""
    if draft.received_at is None:
        draft.received_at = event.time
    if draft.worker is None:
        draft.worker = event.worker


def start_observed(before: TaskMeta, event: TaskStarted, draft: TaskDraft, _log_time: int) -> None:
    """Open an attempt without touching the state; of a run before the one that finished, tell what is missing."""
    if before.date_done is not None and event.time < before.date_done:
        draft.attempts = max(before.attempts, event.attempt or 1)
    else:
        attempts = _counted(before, event)
        _open(before, attempts, draft)
        if before.finished or attempts > before.attempts:
            draft.started_at = event.time
        draft.finished = False
    if draft.started_at is None:
        draft.started_at = event.time
    if draft.first_started_at is None:
        draft.first_started_at = event.time
    if draft.worker is None:
        draft.worker = event.worker
    if draft.pid is None:
        draft.pid = event.pid


def update_observed(before: TaskMeta, event: TaskUpdated, draft: TaskDraft, _log_time: int) -> None:
    """A task that is ignored has ended, whatever its state says."""
    if event.state == _IGNORED:
        _close(before, event, draft)


def finish_observed(before: TaskMeta, event: TaskSucceeded | TaskFailed, draft: TaskDraft, _log_time: int) -> None:
    """The attempt ended; who ran it, and for how long, is told if nobody did."""
    if draft.worker is None:
        draft.worker = event.worker
    if draft.runtime is None:
        draft.runtime = event.runtime
    _close(before, event, draft)


def close_observed(before: TaskMeta, event: TaskRetried | TaskRejected | TaskRevoked, draft: TaskDraft, _log_time: int) -> None:
    """The attempt ended."""
    _close(before, event, draft)


# --- facts of a life that is SUCCESS, which nothing changes any more: what was told of its way there by others than its worker may
# --- come late, and fills what is missing


def receive_late(_: TaskMeta, event: TaskReceived, draft: TaskDraft, _log_time: int) -> None:
    """When it was received."""
    if draft.received_at is None:
        draft.received_at = event.time


def nothing(_: TaskMeta, _event: TaskEvent, _draft: TaskDraft, _log_time: int) -> None:
    """The fact adds to the history alone."""


# --- what several of them do


def _send(event: TaskSent, draft: TaskDraft) -> None:  # noqa: C901 - a line a field
    """Fill what is missing."""
    if draft.root_id is None:
        draft.root_id = event.root_id
    if draft.group_id is None:
        draft.group_id = event.group_id
    if draft.group_index is None:
        draft.group_index = event.group_index
    if draft.eta is None:
        draft.eta = event.eta
    if draft.expires is None:
        draft.expires = event.expires
    if draft.ignore_result is None:
        draft.ignore_result = event.ignore_result
    if draft.replay_of is None:
        draft.replay_of = event.replay_of
    # A task is never its own ancestor.
    if draft.parent_id is None and event.parent_id != event.task_id:
        draft.parent_id = event.parent_id
    if draft.previous_id is None and event.previous_id != event.task_id:
        draft.previous_id = event.previous_id
    if draft.sent_at is None:
        draft.sent_at = event.time


def _end_attempt(draft: TaskDraft) -> None:
    """What an attempt leaves behind, the next fact that sets the state takes away."""
    draft.result = draft.error = draft.traceback = draft.children = draft.request = None
    draft.runtime = draft.date_done = draft.retry_at = draft.revocation = None
    draft.finished = False


def _counted(before: TaskMeta, event: TaskStarted) -> int:
    """Attempts with this start; a start that carries its number may come twice."""
    return before.attempts + 1 if event.attempt is None else max(before.attempts, event.attempt, 1)


def _open(before: TaskMeta, attempts: int, draft: TaskDraft) -> None:
    """Another attempt runs. One that still did, as far as anybody told, was lost with its worker: that sends no word."""
    if before.running and attempts > before.attempts:
        draft.lost = before.lost + 1
    draft.attempts = attempts
    draft.running = True


def _close(before: TaskMeta, event: TaskEvent, draft: TaskDraft) -> None:
    """An attempt ended: the one that runs, or one taken for lost whose end was told late."""
    if before.lost and before.running and before.started_at is not None and event.time < before.started_at:
        draft.lost = before.lost - 1
    else:
        draft.running = False


def _revoked(before: TaskMeta) -> bool:
    """Whether it was revoked, which gives way to a success alone, and no other attempt is open."""
    return before.state == _REVOKED and before.finished


def _finish(event: TaskSucceeded | TaskFailed | TaskRevoked, draft: TaskDraft, log_time: int) -> None:
    _end_attempt(draft)
    draft.running = False
    draft.revoke_request = None
    draft.finished = True
    draft.date_done = event.time
    draft.expires_at = expiry(log_time, event.result_expires)


def _measure(before: TaskMeta, event: TaskSucceeded | TaskFailed, draft: TaskDraft) -> None:
    if event.worker is not None:
        draft.worker = event.worker
    # One that was observed is this attempt's own.
    draft.runtime = before.runtime if event.runtime is None and before.date_done is None else event.runtime
