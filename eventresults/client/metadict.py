"""A `TaskMeta` in Celery's form: a dict of Python values."""

from __future__ import annotations

from typing import Any

from eventresults.client.decoding import PLAIN, Decoder
from eventresults.domain.meta import TaskMeta
from eventresults.domain.states import EXCEPTION_STATES

MetaDict = dict[str, Any]


def meta_dict(task_id: str, meta: TaskMeta | None, decoder: Decoder = PLAIN) -> MetaDict:
    """What is known of a task: `status`, `result`, `traceback`, `children` (`as_tuple()` forms), `date_done` and the rest of Celery's keys.

    The result of a failed, retried or revoked task is an exception. An unknown task is PENDING.
    """
    if meta is None:
        meta = TaskMeta(task_id=task_id)
    return {
        "task_id": task_id,
        "status": str(meta.state),
        "result": result_of(meta, decoder),
        "traceback": decoder.traceback(meta),
        "children": meta.children,
        "date_done": meta.date_done,
        "name": meta.name,
        "args": decoder.args(meta.args),
        "kwargs": decoder.kwargs(meta.kwargs),
        "worker": meta.worker,
        "retries": retries_of(meta),
        "queue": meta.queue,
        "parent_id": meta.parent_id,
        "group_id": meta.group_id,
    }


def result_of(meta: TaskMeta, decoder: Decoder = PLAIN) -> Any:
    """The return value, the exception, or the meta of the last update."""
    return decoder.error(meta) if meta.state in EXCEPTION_STATES else decoder.value(meta.result)


def retries_of(meta: TaskMeta) -> int | None:
    """How often it was tried before the current attempt: as its sender said, else by the attempts that began."""
    return meta.retries if meta.retries is not None or not meta.attempts else meta.attempts - 1
