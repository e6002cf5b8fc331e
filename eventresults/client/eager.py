"""`EagerResult`: of a task that was run on the spot; nothing of it is in any log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from eventresults.client import pending
from eventresults.client.asyncresult import AsyncResult
from eventresults.client.joins import assert_will_not_block
from eventresults.client.metadict import MetaDict
from eventresults.client.pending import Outcome, Promise, run_here
from eventresults.domain.states import PROPAGATE_STATES, TaskState
from eventresults.errors import TaskRevokedError

if TYPE_CHECKING:
    from eventresults.domain.events import TaskEvent, UnknownEvent
    from eventresults.domain.meta import TaskMeta
    from eventresults.domain.position import Position


@pending.register
class EagerResult(AsyncResult):
    """A result that is there: `ret_value` is the value, or the exception of a `state` that has one."""

    # The parameters are Celery's, whether used or not.
    # ruff: noqa: ARG002

    app = None
    backend = None  # type: ignore[assignment]
    is_local = True

    def __init__(self, id: str, ret_value: Any, state: str, traceback: str | None = None, name: str | None = None) -> None:
        self.id = id
        self._result = ret_value
        self._state = state
        self._traceback = traceback
        self._name = name

    def get(  # type: ignore[override]
        self, timeout: float | None = None, propagate: bool = True, disable_sync_subtasks: bool = True, **kwargs: Any
    ) -> Any:
        """The value; the exception is raised, or returned without `propagate`. Raises `WouldBlock` as `AsyncResult.get` does."""
        if disable_sync_subtasks:
            assert_will_not_block()
        if self.successful():
            return self._result
        if self._state in PROPAGATE_STATES:
            if propagate:
                raise self._result if isinstance(self._result, Exception) else Exception(self._result)
            return self._result
        return None

    wait = get  # type: ignore[assignment]

    def then(self, callback: Callable[..., Any] | None, on_error: Callable[..., Any] | None = None, weak: bool = False) -> Any:
        """Call `callback(result)`, or `on_error(exception)` if it failed and that is given: now, and by this thread."""
        return self.on_ready.then(callback, on_error)

    @property
    def on_ready(self) -> Promise:
        """A promise that has come true."""
        promise = Promise(run_here)
        promise.settle(Outcome((self,), self.failure()))
        return promise

    def exists(self) -> bool:
        """True."""
        return True

    def ready(self) -> bool:
        """True."""
        return True

    def forget(self) -> None:
        """There is nothing to forget."""

    def revoke(self, *args: Any, **kwargs: Any) -> None:
        """Mark it as revoked: its value gives way to a `TaskRevokedError`, which `get` raises."""
        self._state = TaskState.REVOKED.value
        self._result = TaskRevokedError("revoked", task_id=self.id, reason=None, terminated=False, signal=None)
        self._traceback = None

    @property
    def result(self) -> Any:
        """The value or the exception."""
        return self._result

    info = result

    @property
    def state(self) -> str:
        """The state it was made with, or REVOKED."""
        return self._state

    status = state

    @property
    def traceback(self) -> str | None:
        """The traceback it was made with."""
        return self._traceback

    @property
    def supports_native_join(self) -> bool:
        """False."""
        return False

    @property
    def parent(self) -> Any:
        """The result before this one, where one was set."""
        return self._parent

    @parent.setter
    def parent(self, parent: Any) -> None:
        self._parent = parent

    @property
    def name(self) -> str | None:
        """The name it was made with."""
        return self._name

    @property
    def is_settled(self) -> bool:
        """True."""
        return True

    def task_meta(self) -> TaskMeta | None:
        """None: no log tells of it."""
        return None

    def history(self) -> list[TaskEvent | UnknownEvent]:
        """Empty."""
        return []

    def as_of(self, when: datetime | Position) -> TaskMeta | None:
        """None."""
        return None

    async def watch(self) -> AsyncIterator[TaskEvent | UnknownEvent]:
        """Ends at once."""
        for event in self.history():
            yield event

    def _get_task_meta(self) -> MetaDict:
        return self._cache

    @property
    def _cache(self) -> MetaDict:  # type: ignore[override]
        return {
            "task_id": self.id,
            "result": self._result,
            "status": self._state,
            "traceback": self._traceback,
            "name": self._name,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.__reduce_args__()

    def __reduce_args__(self) -> tuple[Any, ...]:
        return self.id, self._result, self._state, self._traceback, self._name

    def __copy__(self) -> EagerResult:
        return type(self)(*self.__reduce_args__())

    def __repr__(self) -> str:
        return f"<EagerResult: {self.id}>"
