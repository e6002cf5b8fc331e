"""What a running task knows of itself: `current_task()`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from eventresults.errors import MaxRetriesExceededError

if TYPE_CHECKING:
    from eventresults.client.result import AsyncResult, GroupResult

_current: ContextVar[CurrentTask | None] = ContextVar("eventresults_current_task", default=None)


def current_task() -> CurrentTask | None:
    """The task that runs here, in a thread and in a task process alike; None outside of a task.

    It follows context variables: coroutines and `contextvars.copy_context()` carry it along, a thread that the task starts does not.
    """
    return _current.get()


class Submits(Protocol):
    """Whatever takes tasks: an executor, or the pipe that leads to one."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """One task."""

    def map(self, fn: Callable[..., Any], /, *iterables: Iterable[Any]) -> GroupResult:
        """One task for each item."""

    def group(self, calls: Iterable[tuple[Callable[..., Any], Sequence[Any]]]) -> GroupResult:
        """Many tasks."""

    def chain(self, functions: Sequence[Callable[..., Any]], /, *args: Any) -> AsyncResult:
        """Tasks one after the other."""


class Home(Protocol):
    """Where a running task's requests go: the executor that runs it, directly or over a pipe."""

    def update(self, task: CurrentTask, state: str, meta: Any) -> None:
        """Record an update of this task."""

    def submits(self, task: CurrentTask) -> Submits:
        """What takes the tasks that this task sends."""


class Retry(BaseException):
    """Raised by `CurrentTask.retry` to leave the task. No `Exception`, so that the task's own `except Exception` lets it pass."""

    def __init__(self, error: BaseException | None, countdown: float) -> None:
        super().__init__("the task asked to be tried again")
        self.error = error
        self.countdown = countdown


@dataclass(eq=False, kw_only=True, slots=True)
class CurrentTask:
    """The running task.

    Attributes: `id`, `name`, `root_id` (the first task of the tree), `parent_id` (the task that sent this one, or None), `group_id`,
    `attempt` (counts from 1), `retries` (counts from 0), `max_retries`.
    """

    id: str
    name: str
    home: Home = field(repr=False)
    root_id: str | None = None
    parent_id: str | None = None
    group_id: str | None = None
    attempt: int = 1
    max_retries: int = 0
    #: `as_tuple()` forms of what this task sent; None when its executor keeps no trail.
    trail: list[Any] | None = field(default=None, repr=False)

    @property
    def retries(self) -> int:
        """How often it was tried before."""
        return self.attempt - 1

    def update(self, state: str, meta: Any = None) -> None:
        """Say how far the task is: its state becomes `state` (any text but a ready state), its `progress` and `info` become `meta`.

        Returns when the fact was recorded. Raises `ValueNotEncodable`, `ValueTooLarge` or `AppendTimeout` like `Recorder.updated`.
        """
        self.home.update(self, state, meta)

    def retry(self, error: BaseException | None = None, countdown: float = 0) -> NoReturn:
        """Leave this attempt; the task is tried again `countdown` seconds later. Never returns.

        `error` is the reason that history shows (default: the exception being handled). After `max_retries` the error itself fails
        the task (`MaxRetriesExceededError` when there is none).
        """
        if error is None:
            error = sys.exc_info()[1]
        if self.retries >= self.max_retries:
            raise (
                error
                if error is not None
                else MaxRetriesExceededError(
                    f"Task {self.id} asked for another attempt after {self.attempt}. Allow more with max_retries, "
                    "or give retry() the error that should fail the task.",
                    task_id=self.id,
                    attempts=self.attempt,
                )
            )
        raise Retry(error, countdown)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """Send a task from this one, to the executor that runs this one: the log tells who sent it, and `children` lists it."""
        return self.home.submits(self).submit(fn, *args, **kwargs)

    def map(self, fn: Callable[..., Any], /, *iterables: Iterable[Any]) -> GroupResult:
        """Send one task for each item, see `TrackedExecutor.map`."""
        return self.home.submits(self).map(fn, *iterables)

    def group(self, calls: Iterable[tuple[Callable[..., Any], Sequence[Any]]]) -> GroupResult:
        """Send many tasks, see `TrackedExecutor.group`."""
        return self.home.submits(self).group(calls)

    def chain(self, functions: Sequence[Callable[..., Any]], /, *args: Any) -> AsyncResult:
        """Send tasks that follow one another, see `TrackedExecutor.chain`."""
        return self.home.submits(self).chain(functions, *args)

    def sent(self, child: Any) -> None:
        """Put what this task sent on its trail."""
        if self.trail is not None:
            self.trail.append(child)


@contextmanager
def running(task: CurrentTask | None) -> Iterator[None]:
    """Inside, `current_task()` is this one."""
    token = _current.set(task)
    try:
        yield
    finally:
        _current.reset(token)
