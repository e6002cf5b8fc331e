"""From a function call to a job and its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from eventresults.client.result import AsyncResult, GroupResult
from eventresults.client.tuples import plain
from eventresults.errors import ConfigError
from eventresults.worker.context import current_task
from eventresults.worker.job import Call, Job, name_of, new_id, no_functions
from eventresults.worker.shipping import pack_call

if TYPE_CHECKING:
    from eventresults.worker.context import Home
    from eventresults.worker.jobs import Jobs


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a submission may say beyond the call; see `TrackedExecutor.options`."""

    task_id: str | None = None
    name: str | None = None
    queue: str | None = None
    eta: datetime | None = None
    expires: datetime | None = None
    max_retries: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """What all submissions to one executor share. `ready` is called before each (and may refuse it), `sent` after it."""

    app: Any
    jobs: Jobs
    home: Home
    processes: bool
    trail: bool
    ready: Callable[[], None]
    sent: Callable[[], None]


class Submitter:
    """Sends tasks to one executor, with the same options each time."""

    def __init__(self, desk: Desk, options: Options) -> None:
        self._desk = desk
        self._options = options

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """See `TrackedExecutor.submit`."""
        result = self._send(self._job(fn, args, kwargs))
        _note(result)
        return result

    def again(self, task_id: str, call: Call, *, queue: str | None) -> AsyncResult:
        """Send this call, which was that of this task, once more; to its queue, unless the options name one."""
        job = self._job(call.fn, call.args, dict(call.kwargs))
        job.replay_of, job.queue = task_id, job.queue or queue
        result = self._send(job)
        _note(result)
        return result

    def map(self, fn: Callable[..., Any], /, *iterables: Iterable[Any]) -> GroupResult:
        """See `TrackedExecutor.map`."""
        return self.group((fn, args) for args in zip(*iterables, strict=False))

    def group(self, calls: Iterable[tuple[Callable[..., Any], Sequence[Any]]]) -> GroupResult:
        """See `TrackedExecutor.group`."""
        self._refuse_task_id("a group")
        group_id = new_id()
        results = []
        for index, (fn, args) in enumerate(calls):
            job = self._job(fn, args, {})
            job.group_id, job.group_index = group_id, index
            results.append(self._send(job))
        group = GroupResult(group_id, results, app=self._desk.app)
        _note(group)
        return group

    def chain(self, functions: Sequence[Callable[..., Any]], /, *args: Any) -> AsyncResult:
        """See `TrackedExecutor.chain`."""
        self._refuse_task_id("a chain")
        if not functions:
            raise no_functions()
        jobs = [self._job(functions[0], args, {})]
        for fn in functions[1:]:
            job = self._job(fn, (), {})
            job.previous_id, job.root_id = jobs[-1].id, jobs[0].root_id
            job.eta = None
            jobs[-1].successor = job
            jobs.append(job)
        self._accept(*jobs)
        result = first = self._result(jobs[0], None)
        for job in jobs[1:]:
            result = self._result(job, result)
        _note(first)
        return result

    def _refuse_task_id(self, what: str) -> None:
        if self._options.task_id is not None:
            raise ConfigError(f"task_id names one task, and {what} is many: leave it out.", setting="task_id", source="options()")

    def _job(self, fn: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Job:
        self._desk.ready()
        options = self._options
        call = Call(fn, tuple(args), kwargs)
        name = options.name or name_of(fn)
        task_id = options.task_id or new_id()
        parent = current_task()
        return Job(
            id=task_id,
            name=name,
            call=call,
            payload=pack_call(call, name) if self._desk.processes else None,
            queue=options.queue,
            parent_id=parent.id if parent is not None else None,
            root_id=(parent.root_id or parent.id) if parent is not None else task_id,
            eta=options.eta,
            expires=options.expires,
            max_retries=options.max_retries,
            trail=[] if self._desk.trail else None,
        )

    def _send(self, job: Job) -> AsyncResult:
        self._accept(job)
        return self._result(job, None)

    def _accept(self, *chain: Job) -> None:
        task = current_task()
        self._desk.jobs.accept(*chain, nested=task is not None and task.home is self._desk.home)
        self._desk.sent()

    def _result(self, job: Job, parent: AsyncResult | None) -> AsyncResult:
        return AsyncResult(job.id, task_name=job.name, app=self._desk.app, parent=parent)


def _note(result: Any) -> None:
    """Put it on the trail of the task that runs here."""
    task = current_task()
    if task is not None:
        task.sent(plain(result.as_tuple()))
