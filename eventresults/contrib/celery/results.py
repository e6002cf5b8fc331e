"""Celery's result classes with what the log adds, and the same for results of any class: `history`, `watch`, `as_of`, `wait_async`.

`install(app)` makes `delay()` and `app.AsyncResult` return these.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celery import states
from celery.app.base import Celery
from celery.result import AsyncResult as CeleryResult
from celery.result import GroupResult as CeleryGroup
from celery.result import ResultSet as CelerySet

from eventresults.client import result as ours
from eventresults.client.known import LogFacts
from eventresults.client.watch import wait_async as wait_for_ours
from eventresults.contrib.celery.control import take_control
from eventresults.contrib.celery.waiting import Waiting, ancestors, leaves
from eventresults.domain.position import Position
from eventresults.errors import ConfigError

if TYPE_CHECKING:
    from eventresults.client.decoding import Decoder
    from eventresults.domain.events import TaskEvent, UnknownEvent
    from eventresults.domain.meta import TaskMeta


def install(app: Celery) -> None:
    """Have the app's results be `AsyncResult`, `ResultSet` and `GroupResult` of this module, and its control record requests to revoke.

    Raises `ConfigError` when the app keeps its results elsewhere.
    """
    _backend(app.backend)
    take_control(app, anew=True)
    app.AsyncResult = app.subclass_with_self(AsyncResult)
    app.ResultSet = app.subclass_with_self(ResultSet)
    app.GroupResult = app.subclass_with_self(GroupResult)


def history(result: Any) -> list[TaskEvent | UnknownEvent]:
    """Every fact of a task that the view still holds, oldest first. `result` is one of Celery's, or of ours."""
    return mirror(result).history()


def as_of(result: Any, when: datetime | Position) -> TaskMeta | None:
    """What was known of a task at this log time, or up to this position; see `eventresults.AsyncResult.as_of`."""
    return mirror(result).as_of(when)


def watch(result: Any) -> AsyncIterator[TaskEvent | UnknownEvent]:
    """Iterate asynchronously over a task's facts: those that are there, then each as it comes, until it is ready or forgotten."""
    return mirror(result).watch()


async def wait_async(result: Any) -> Any:
    """`result.get()` for asyncio; other tasks of the event loop go on meanwhile."""
    return await wait_for_ours(mirror(result))


def mirror(result: Any) -> ours.AsyncResult:
    """The result of ours for the same task, with the same parents. Raises `ConfigError` for one that is kept elsewhere."""
    if isinstance(result, ours.AsyncResult):
        return result
    made = ours.AsyncResult(result.id, backend=_backend(result.backend).home, app=result.app)
    chain = made
    for node in ancestors(result):
        chain.parent = ours.AsyncResult(node.id, backend=made.backend, app=result.app)
        chain = chain.parent
    made.ignored = result.ignored
    return made


class AsyncResult(CeleryResult, LogFacts):  # type: ignore[misc]
    """Celery's result of one task, and what the log tells of it beyond."""

    def task_meta(self) -> TaskMeta | None:
        """All that is known of the task, at once; None for an unknown, expired or forgotten id."""
        return mirror(self).task_meta()

    @property
    def decoder(self) -> Decoder:
        """How payloads are read here."""
        return mirror(self).decoder

    def history(self) -> list[TaskEvent | UnknownEvent]:
        """Every fact of the task that the view still holds, oldest first."""
        return history(self)

    def as_of(self, when: datetime | Position) -> TaskMeta | None:
        """What was known at this log time, or up to this position."""
        return as_of(self, when)

    def watch(self) -> AsyncIterator[TaskEvent | UnknownEvent]:
        """Iterate asynchronously over the task's facts, until it is ready or forgotten."""
        return watch(self)

    def __await__(self) -> Generator[Any, None, Any]:
        """`get()` for asyncio."""
        return wait_async(self).__await__()

    def get(self, *args: Any, as_type: Any = None, **kwargs: Any) -> Any:
        """As Celery's; `as_type` validates the value with pydantic."""
        value = super().get(*args, **kwargs)
        if as_type is None or self.ignored or self.state != states.SUCCESS:
            return value
        meta = self.task_meta()
        return self.decoder.value_as(None if meta is None else meta.result, as_type)

    wait = get


class ResultSet(CelerySet):  # type: ignore[misc]
    """Celery's set of results; what it asks of all of them is one question."""

    def ready(self) -> bool:
        """Whether all have ended."""
        return all(leaf._cache is not None for leaf in self._looked_at())  # noqa: SLF001 - Celery's own way to tell

    def waiting(self) -> bool:
        """Whether one has not ended."""
        return not self.ready()

    def successful(self) -> bool:
        """Whether all ended by success."""
        return self._all(lambda state: state == states.SUCCESS)

    def failed(self) -> bool:
        """Whether one failed."""
        return not self._all(lambda state: state != states.FAILURE)

    def completed_count(self) -> int:
        """How many of its members ended by success; a group among them counts as one, once all of its own did."""
        self._look()
        return sum(int(one.successful()) if hasattr(one, "results") else int(_state(one) == states.SUCCESS) for one in self.results)

    def _all(self, holds: Callable[[str | None], bool]) -> bool:
        return all(holds(_state(leaf)) for leaf in self._looked_at())

    def _looked_at(self) -> Iterator[Any]:
        self._look()
        return leaves(self)

    def _look(self) -> None:
        """Have every member that has ended know it."""
        by_backend: dict[Any, list[Any]] = {}
        for leaf in leaves(self):
            if leaf._cache is None:  # noqa: SLF001
                by_backend.setdefault(leaf.backend, []).append(leaf)
        for backend, open_leaves in by_backend.items():
            if isinstance(backend, Waiting):
                backend.look(open_leaves)
            else:
                for leaf in open_leaves:
                    leaf.ready()


class GroupResult(CeleryGroup, ResultSet):  # type: ignore[misc]
    """Celery's group of results; what it asks of all of them is one question."""


def _state(leaf: Any) -> str | None:
    return leaf._cache["status"] if leaf._cache is not None else None  # noqa: SLF001


def _backend(backend: Any) -> Any:
    if isinstance(backend, Waiting):
        return backend
    raise ConfigError(
        f"These results are kept by {type(backend).__name__}: set result_backend='eventresults+kafka://…' (or +sqlite).", setting="app"
    )
