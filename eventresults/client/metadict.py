"""A `TaskMeta` in Celery's form: a dict of Python values."""

from __future__ import annotations

from typing import Any

from eventresults.codec.errors import decode_error
from eventresults.codec.values import decode_value
from eventresults.domain.meta import TaskMeta
from eventresults.domain.states import EXCEPTION_STATES, PROPAGATE_STATES, TaskState
from eventresults.errors import TaskRevokedError

MetaDict = dict[str, Any]


def meta_dict(task_id: str, meta: TaskMeta | None) -> MetaDict:
    """What is known of a task: `status`, `result`, `traceback`, `children` (`as_tuple()` forms), `date_done` and the rest of Celery's keys.

    The result of a failed, retried or revoked task is an exception. An unknown task is PENDING.
    """
    if meta is None:
        meta = TaskMeta(task_id=task_id)
    return {
        "task_id": task_id,
        "status": str(meta.state),
        "result": result_of(meta),
        "traceback": meta.traceback,
        "children": meta.children,
        "date_done": meta.date_done,
        "name": meta.name,
        "args": args_of(meta),
        "kwargs": kwargs_of(meta),
        "worker": meta.worker,
        "retries": retries_of(meta),
        "queue": meta.queue,
        "parent_id": meta.parent_id,
        "group_id": meta.group_id,
    }


def result_of(meta: TaskMeta) -> Any:
    """The return value, the exception, or the meta of the last update."""
    if meta.state not in EXCEPTION_STATES:
        return decode_value(meta.result)
    return _revoked(meta) if meta.state == TaskState.REVOKED else _raised(meta)


def failure_of(meta: TaskMeta) -> BaseException | None:
    """The exception that `get()` raises; None for a task that has not failed."""
    return result_of(meta) if meta.state in PROPAGATE_STATES else None


def args_of(meta: TaskMeta) -> Any:
    """The positional arguments, as a list."""
    # Each is a wire value of its own: the recorder encodes them one by one.
    return [decode_value(one) for one in meta.args] if isinstance(meta.args, list) else decode_value(meta.args)


def kwargs_of(meta: TaskMeta) -> Any:
    """The keyword arguments, as a dict."""
    return {name: decode_value(one) for name, one in meta.kwargs.items()} if isinstance(meta.kwargs, dict) else decode_value(meta.kwargs)


def retries_of(meta: TaskMeta) -> int | None:
    """How often it was tried before the current attempt: as its sender said, else by the attempts that began."""
    return meta.retries if meta.retries is not None or not meta.attempts else meta.attempts - 1


def _raised(meta: TaskMeta) -> BaseException | None:
    if meta.error is None and meta.state == TaskState.RETRY:
        return None
    error = decode_error(meta.error)
    if meta.traceback:
        BaseException.add_note(error, f"Remote traceback:\n{meta.traceback}")
    return error


def _revoked(meta: TaskMeta) -> TaskRevokedError:
    facts = meta.revocation or {}
    reason, terminated, signal = facts.get("reason"), bool(facts.get("terminated")), facts.get("signal")
    said = reason or ("terminated" if terminated else "revoked")
    return TaskRevokedError(said, task_id=meta.task_id, reason=reason, terminated=terminated, signal=signal)
