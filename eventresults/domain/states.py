"""The states of a task, in Celery's words and sets (celery/states.py, 5.7.0)."""

from __future__ import annotations

from enum import StrEnum


class TaskState(StrEnum):
    """The built-in states. A task may also carry a custom one (any other text), set by an `updated` fact."""

    PENDING = "PENDING"
    RECEIVED = "RECEIVED"
    STARTED = "STARTED"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"
    REJECTED = "REJECTED"
    RETRY = "RETRY"
    IGNORED = "IGNORED"


#: The task has ended: its result or error is there.
READY_STATES: frozenset[str] = frozenset({TaskState.SUCCESS, TaskState.FAILURE, TaskState.REVOKED})
#: The built-in states in which the task has not ended.
UNREADY_STATES: frozenset[str] = frozenset({TaskState.PENDING, TaskState.RECEIVED, TaskState.STARTED, TaskState.REJECTED, TaskState.RETRY})
#: The result is an exception.
EXCEPTION_STATES: frozenset[str] = frozenset({TaskState.RETRY, TaskState.FAILURE, TaskState.REVOKED})
#: `get()` raises the exception.
PROPAGATE_STATES: frozenset[str] = frozenset({TaskState.FAILURE, TaskState.REVOKED})
