"""The future of one append: a `concurrent.futures.Future` that costs next to nothing until somebody waits for it."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any

from eventresults.domain.position import Position

logger = logging.getLogger(__name__)

_PENDING, _FINISHED = "PENDING", "FINISHED"  # the words of concurrent.futures

# Guards the moment in which a future is finished, for all of them: it is held for less than a microsecond.
_settling = threading.Lock()


def _renew() -> None:
    global _settling  # noqa: PLW0603 - a forked child may inherit it held by a thread that it does not have
    _settling = threading.Lock()


os.register_at_fork(after_in_child=_renew)


class Append(Future[Position]):
    """The future of a record that was handed over; what was handed over cannot be taken back, so `cancel` refuses.

    A plain Future takes 1.6 kB in ten objects, most of them for its condition. With ten thousand records on their way, making them and
    collecting garbage among them takes longer than the appending. This one makes its condition when somebody waits.

    `number`, `size`, `entered` (monotonic seconds) and `key` are `InFlight`'s.
    """

    number: int = 0
    size: int = 0
    entered: float = 0.0
    key: bytes = b""

    # What Future.__init__ would set.
    _state = _PENDING
    _result: Position | None = None
    _exception: BaseException | None = None
    _done_callbacks: Any = ()
    _waiters: Any = ()

    def __init__(self) -> None:
        """Nothing to set: see above."""

    def __getattr__(self, name: str) -> Any:
        if name != "_condition":
            raise AttributeError(name)
        with _settling:
            if "_condition" not in self.__dict__:
                self._waiters = []
                self.__dict__["_condition"] = threading.Condition()
            return self.__dict__["_condition"]

    @property
    def accepted(self) -> Future[Any]:
        """Done once the record survives kill -9 of this process: itself, unless there is an outbox."""
        return self

    def cancel(self) -> bool:
        """Refuse."""
        return False

    def cancelled(self) -> bool:
        """Never."""
        return False

    def running(self) -> bool:
        """Until it is done."""
        return not self.done()

    def done(self) -> bool:
        """Whether it is acknowledged or has failed."""
        return self._state == _FINISHED

    def result(self, timeout: float | None = None) -> Position:
        """The position, waiting for it; raises what became of the append, `TimeoutError` after `timeout` seconds."""
        if self._state == _FINISHED and self._exception is None:
            return self._result  # type: ignore[return-value]
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What kept it from the log, None when it is there, waiting to know; `TimeoutError` after `timeout` seconds."""
        return self._exception if self._state == _FINISHED else super().exception(timeout)

    def add_done_callback(self, fn: Callable[[Future[Position]], object]) -> None:
        """Call `fn(self)` once it is done, or now if it is."""
        with _settling:
            if self._state == _PENDING:
                self._done_callbacks = [*self._done_callbacks, fn]
                return
        try:
            fn(self)
        except Exception:
            logger.exception("exception calling callback for %r", self)

    def set_result(self, result: Position) -> None:
        """Acknowledge it. Raises `InvalidStateError` if it is done."""
        self._finish(result, None)

    def set_exception(self, exception: BaseException | None) -> None:
        """Fail it. Raises `InvalidStateError` if it is done."""
        self._finish(None, exception)

    def _finish(self, result: Position | None, exception: BaseException | None) -> None:
        with _settling:
            condition = self.__dict__.get("_condition")
            if condition is None:
                self._settle(result, exception)
        if condition is not None:
            with condition:
                with _settling:
                    self._settle(result, exception)
                for waiter in self._waiters:
                    waiter.add_result(self) if exception is None else waiter.add_exception(self)
                condition.notify_all()
        if self._done_callbacks:
            self._invoke_callbacks()

    def _settle(self, result: Position | None, exception: BaseException | None) -> None:
        if self._state == _FINISHED:
            raise InvalidStateError(f"{self._state}: an append is settled once")
        self._result, self._exception, self._state = result, exception, _FINISHED


def settle(future: Append, outcome: Position | Exception) -> None:
    """Complete a future, unless it is complete."""
    with contextlib.suppress(InvalidStateError):
        if isinstance(outcome, Position):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
