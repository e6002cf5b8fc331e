"""The promises of Celery's own results: kept once, by whoever learns first that the task has ended.

What is to be told of is asked for on a thread, for all results that came meanwhile in one go: publishing a group of 10,000 tasks neither
waits for a view nor fails for one.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from time import sleep
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet, ref

from celery import states

from eventresults.client.callbacks import Callbacks
from eventresults.client.pending import Outcome, Promise, run_here
from eventresults.client.result import AsyncResult
from eventresults.errors import Closed, EventResultsError

if TYPE_CHECKING:
    from eventresults.client.backend import Backend

logger = logging.getLogger(__name__)

#: Between two tries to be told, where there is no view.
RETRY_SECONDS: Final = 1.0

_swapping = threading.Lock()


class Promises:
    """The part of a Celery backend that keeps promises. Each result has a mirror for that: a result of ours, for the same task."""

    meta_of: Callable[[str, Any], dict[str, Any]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._asking = Callbacks("eventresults-celery-asking")
        _all.add(self)
        self.renew()

    @property
    def home(self) -> Backend:
        """What our own results ask."""
        raise NotImplementedError

    def renew(self) -> None:
        """In a forked child: the promises made before are the parent's to keep."""
        #: Mirrors by the address of the result whose promise they keep; taking one out needs no lock, for destructors do.
        self._mirrors: dict[int, AsyncResult] = {}
        self._to_ask: deque[ref[AsyncResult]] = deque()
        self._asking.renew()

    def add_pending_result(self, result: Any, weak: bool | None = None) -> Any:
        """Keep the promise of this result, which `then` is about to add to; `get`, which gives no `weak`, waits by itself.

        The promise becomes one that is kept once, also under threads. Waits for nothing.
        """
        if weak is None:
            return result
        self._make_safe(result)
        mirror = self.mirror(result)
        if self._mirrors.setdefault(id(result), mirror) is mirror:
            held = ref(result) if weak else lambda: result
            mirror.on_ready.then(partial(self._keep, held, mirror), partial(self._break, held, mirror))
            self._to_ask.append(ref(mirror))
            if len(self._to_ask) == 1:
                self._asking.put(self._ask)
        return result

    def add_pending_results(self, results: Iterable[Any], weak: bool = False) -> list[Any]:
        """As `add_pending_result`, of each."""
        return [self.add_pending_result(result, weak=weak) for result in results]

    def remove_pending_result(self, result: Any) -> Any:
        """Its promise need not be kept any more. Never blocks: destructors call it."""
        self._mirrors.pop(id(result), None)
        return result

    def on_result_fulfilled(self, result: Any) -> None:
        """As `remove_pending_result`."""
        self.remove_pending_result(result)

    def mirror(self, result: Any) -> AsyncResult:
        """A result of ours for the same task."""
        return AsyncResult(result.id, backend=self.home)

    def fulfil(self, result: Any, mirror: AsyncResult) -> None:
        """Have the result know what its mirror knows."""
        if result._cache is None:  # noqa: SLF001
            result._maybe_set_cache(self.meta_of(result.id, mirror.task_meta()))  # noqa: SLF001 - as Celery's own backends do

    def _make_safe(self, result: Any) -> None:
        with _swapping:
            before = result.on_ready
            if isinstance(before, Fulfilment):
                return
            promise = Fulfilment(run_here)  # by whoever learns of it, as Celery's own
            promise.then(before)
            result.on_ready = promise
        if result._cache is not None:  # noqa: SLF001
            promise(result)

    def _ask(self) -> None:
        """On the thread: have all that came be told of. Where there is no view, try again as long as somebody wants to know."""
        said = ""
        wanted: list[AsyncResult] = []
        while True:
            while self._to_ask:
                mirror = self._to_ask.popleft()()
                if mirror is not None:
                    wanted.append(mirror)
            kept = {id(mirror) for mirror in list(self._mirrors.values())}
            wanted = [mirror for mirror in wanted if id(mirror) in kept]
            if not wanted:
                return
            try:
                self.home.registry.add(wanted, weak=True)
            except Closed:
                return
            except EventResultsError as error:
                if str(error) != said:
                    said = str(error)
                    logger.warning("what becomes of %d tasks cannot be told at present, trying on: %s", len(wanted), error)
                sleep(RETRY_SECONDS)
            else:
                wanted = []

    def _keep(self, held: Callable[[], Any], mirror: AsyncResult, _: AsyncResult) -> None:
        result = held()
        if result is not None:
            self.fulfil(result, mirror)
            self._mirrors.pop(id(result), None)

    def _break(self, held: Callable[[], Any], mirror: AsyncResult, error: BaseException) -> None:
        """The task failed, which keeps the promise; or nobody will ever know."""
        if mirror.is_settled:
            self._keep(held, mirror, mirror)
            return
        result = held()
        if result is not None:
            self._mirrors.pop(id(result), None)
            result.on_ready.throw(error, propagate=False)


class Fulfilment(Promise):
    """The promise of a Celery result: kept once; a failure calls `on_error` where there is one, else the callback."""

    __slots__ = ()

    def __call__(self, *args: Any) -> None:
        """The result is ready."""
        known = getattr(args[0], "_cache", None) if args else None
        error = None
        if known and known["status"] in states.PROPAGATE_STATES:
            value = known["result"]
            error = value if isinstance(value, BaseException) else Exception(value)
        self.settle(Outcome(args, error))


_all: WeakSet[Promises] = WeakSet()


def _after_fork() -> None:
    for backend in list(_all):
        backend.renew()


os.register_at_fork(after_in_child=_after_fork)
