"""The future of one append: a `concurrent.futures.Future` that costs next to nothing until somebody waits for it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
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
    _made: threading.Condition | None = None

    def __init__(self) -> None:
        """Nothing to set: see above."""

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        with _settling:
            if self._made is None:
                self._waiters = []
                self._made = threading.Condition()
            return self._made

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

    @property
    def outcome(self) -> Position | BaseException | None:
        """Where it is, or what kept it from the log; None until it is done."""
        return self._result if self._exception is None else self._exception

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
        if not self.settle(result):
            raise InvalidStateError(f"{self._state}: an append is settled once")

    def set_exception(self, exception: BaseException | None) -> None:
        """Fail it. Raises `InvalidStateError` if it is done."""
        assert exception is not None
        if not self.settle(exception):
            raise InvalidStateError(f"{self._state}: an append is settled once")

    def settle(self, outcome: Position | BaseException) -> bool:
        """Acknowledge it, or fail it; False if it is done already, and stays as it is."""
        with _settling:
            made = self._made
            if made is None and not self._take(outcome):
                return False
        if made is not None and not self._take_and_wake(made, outcome):
            return False
        if self._done_callbacks:
            self._invoke_callbacks()  # type: ignore[attr-defined] # the base class's
        return True

    @staticmethod
    def settle_all(outcomes: Iterable[tuple[Append, Position | BaseException]]) -> None:
        """Settle each of these as `settle` does: those that nobody waits for under one lock, and the others after them."""
        told: list[Append] = []
        waited_for: list[tuple[Append, Position | BaseException]] = []
        with _settling:
            for future, outcome in outcomes:
                if future._made is not None:  # noqa: SLF001 - one of us
                    waited_for.append((future, outcome))
                elif future._take(outcome) and future._done_callbacks:  # noqa: SLF001
                    told.append(future)
        for future in told:
            future._invoke_callbacks()  # type: ignore[attr-defined] # noqa: SLF001 - the base class's
        for future, outcome in waited_for:
            future.settle(outcome)

    def _take(self, outcome: Position | BaseException) -> bool:
        if self._state == _FINISHED:
            return False
        if isinstance(outcome, BaseException):
            self._exception = outcome
        else:
            self._result = outcome
        self._state = _FINISHED
        return True

    def _take_and_wake(self, made: threading.Condition, outcome: Position | BaseException) -> bool:
        with made:
            with _settling:
                if not self._take(outcome):
                    return False
            for waiter in self._waiters:
                waiter.add_exception(self) if self._exception is not None else waiter.add_result(self)
            made.notify_all()
        return True
