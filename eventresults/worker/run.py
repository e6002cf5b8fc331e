"""Any work as a task: a `with` block."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from eventresults.errors import ConfigError
from eventresults.worker.attempt import text_of
from eventresults.worker.context import CurrentTask, current_task, running
from eventresults.worker.job import new_id

if TYPE_CHECKING:
    from eventresults.recorder import Recorder


@dataclass(eq=False, kw_only=True, slots=True)
class Run(CurrentTask):
    """The task that a `with` block is. Set `result` to what it came to; left alone, it is None."""

    result: Any = None


@contextmanager
def run(
    app: Any,
    name: str,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    task_id: str | None = None,
    *,
    worker: str | None = None,
) -> Iterator[Run]:
    """Record the block as a task of this name: sent, started, and succeeded with `task.result`, or failed with what it raised (and raises).

    Inside, `current_task()` is the task: it can `update`, and what an executor is sent there is its child. It runs in the caller's own
    thread: `get()` is allowed, `retry()` just raises its error, and requests to revoke it are not looked for. `args` and `kwargs` are
    recorded and used for nothing else. Raises what recording raises: a result that cannot be recorded is raised after the block, and
    the task is recorded as failed.
    """
    recorder: Recorder = app.backend.recorder
    worker = worker or recorder.source
    parent = current_task()
    task_id = task_id or new_id()
    task = Run(
        id=task_id,
        name=name,
        home=_OwnThread(recorder),
        root_id=(parent.root_id or parent.id) if parent is not None else task_id,
        parent_id=parent.id if parent is not None else None,
        max_retries=0,
        trail=[],
    )
    recorder.sent(task_id, name=name, args=args, kwargs=kwargs or {}, parent_id=task.parent_id, root_id=task.root_id)
    if parent is not None:
        parent.sent(((task_id, None), None))
    recorder.started(task_id, worker=worker, pid=os.getpid(), attempt=1)
    began = time.perf_counter()
    try:
        with running(task):
            yield task
    except BaseException as error:
        runtime = time.perf_counter() - began
        recorder.about(task_id, name=name, args=args, kwargs=kwargs)
        recorder.failed(task_id, error=error, traceback=text_of(error), children=task.trail, runtime=runtime, worker=worker)
        raise
    recorder.about(task_id, name=name, args=args, kwargs=kwargs)  # what `sent` told may be long ago
    recorder.succeeded(task_id, result=task.result, children=task.trail, runtime=time.perf_counter() - began, worker=worker)


class _OwnThread:
    """The `Home` of a block."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def update(self, task: CurrentTask, state: str, meta: Any) -> None:
        self._recorder.updated(task.id, state=state, meta=meta)

    def submits(self, task: CurrentTask) -> NoReturn:
        raise ConfigError(
            f"{task.name} is a run() block, which has no executor: make one with tracker.executor(). What it is sent inside the block is a "
            "child of the block.",
            setting="executor",
            source="run()",
        )
