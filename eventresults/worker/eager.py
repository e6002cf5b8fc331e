"""Tasks that run where they are sent, at once, and are recorded nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from eventresults.client.result import EagerResult, GroupResult
from eventresults.domain.states import TaskState
from eventresults.worker.attempt import Again, Raised, Returned, attempt
from eventresults.worker.context import CurrentTask, current_task
from eventresults.worker.job import Call, name_of, new_id, no_functions

if TYPE_CHECKING:
    from eventresults.worker.submitter import Options


class EagerSubmitter:
    """Runs each task in the calling thread before its `submit` returns. A retry follows at once, whatever its countdown."""

    def __init__(self, options: Options, *, ready: Callable[[], None]) -> None:
        self._options = options
        self._ready = ready

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> EagerResult:
        """See `TrackedExecutor.submit`."""
        return self._run(Call(fn, args, kwargs))

    def again(self, task_id: str, call: Call, *, queue: str | None) -> EagerResult:  # noqa: ARG002 - nothing is recorded
        """See `Submitter.again`."""
        return self._run(call)

    def map(self, fn: Callable[..., Any], /, *iterables: Iterable[Any]) -> GroupResult:
        """See `TrackedExecutor.map`."""
        return self.group((fn, args) for args in zip(*iterables, strict=False))

    def group(self, calls: Iterable[tuple[Callable[..., Any], Sequence[Any]]]) -> GroupResult:
        """See `TrackedExecutor.group`."""
        group_id = new_id()
        return GroupResult(group_id, [self._run(Call(fn, args), group_id=group_id) for fn, args in calls])

    def chain(self, functions: Sequence[Callable[..., Any]], /, *args: Any) -> EagerResult:
        """See `TrackedExecutor.chain`."""
        if not functions:
            raise no_functions()
        result = self._run(Call(functions[0], args))
        for fn in functions[1:]:
            parent = result
            if parent.state == TaskState.SUCCESS:
                result = self._run(Call(fn, (parent.result,)))
            else:
                # Never ran; `get()` raises what failed before it.
                result = EagerResult(new_id(), parent.result, TaskState.REVOKED, name=name_of(fn))
            result.parent = parent
        return result

    def update(self, task: CurrentTask, state: str, meta: Any) -> None:
        """See `Home.update`: nobody could see it."""

    def submits(self, task: CurrentTask) -> EagerSubmitter:  # noqa: ARG002
        """See `Home.submits`."""
        return self

    def _run(self, call: Call, *, group_id: str | None = None) -> EagerResult:
        self._ready()
        parent = current_task()
        task_id = self._options.task_id or new_id()
        name = self._options.name or name_of(call.fn)
        number = 1
        while True:
            task = CurrentTask(
                id=task_id,
                name=name,
                home=self,
                root_id=(parent.root_id or parent.id) if parent is not None else task_id,
                parent_id=parent.id if parent is not None else None,
                group_id=group_id,
                attempt=number,
                max_retries=self._options.max_retries,
            )
            match attempt(call.make, task, nullcontext()):
                case Returned(value):
                    return EagerResult(task_id, value, TaskState.SUCCESS, name=name)
                case Raised(error, text):
                    return EagerResult(task_id, error, TaskState.FAILURE, traceback=text, name=name)
                case Again():
                    number += 1
