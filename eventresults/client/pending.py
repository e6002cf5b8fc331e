"""Promises: what is to be called once something has come true.

Like vine's, and usable wherever vine takes a `Thenable`, but safe under threads: each settles once, each callback is called exactly
once, and an exception in one is logged and stops no other.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, cast

from vine import Thenable

logger = logging.getLogger(__name__)

Runner = Callable[[Callable[[], object]], object]


class Outcome(NamedTuple):
    """How a promise was settled.

    `args` are for the callback, None when there is nothing to call it with; `error` is for `on_error`. With both, a callback that has
    no `on_error` beside it is called, for no completion passes in silence.
    """

    args: tuple[Any, ...] | None
    error: BaseException | None = None


def run_here(job: Callable[[], object]) -> None:
    """A `Runner` that runs the job at once."""
    job()


@Thenable.register
class Promise:
    """Settled at most once; then, and from then on, its callbacks are run by `run`.

    `ready`: it came true. `failed`: it did not, and `reason` says why. `value` is (args, kwargs), as vine has it.
    """

    __slots__ = ("__weakref__", "_listeners", "_lock", "_outcome", "_run", "cancelled")

    def __init__(self, run: Runner) -> None:
        self._run = run
        self._lock = threading.RLock()
        self._outcome: Outcome | None = None
        self._listeners: list[_Listener] = []
        self.cancelled = False

    def then(self, callback: Callable[..., Any] | None, on_error: Callable[..., Any] | None = None) -> Any:
        """Call `callback` with the value, or `on_error` with the exception.

        Returns a promise of what the callback returns (the callback itself when that is a `Thenable`). None passes the value on.
        """
        if callback is not None and not callable(callback):
            raise TypeError(f"then() takes a callable, not {type(callback).__name__}")
        after = callback if isinstance(callback, Thenable) else Promise(self._run)
        listener = _Listener(callback, on_error, after)
        with self._lock:
            if self.cancelled:
                after.cancel()
                return after
            outcome = self._outcome
            if outcome is None:
                self._listeners.append(listener)
        if outcome is not None:
            self._run(partial(listener.tell, outcome))
        return after

    def settle(self, outcome: Outcome) -> bool:
        """Settle it; False when it was settled or cancelled before."""
        with self._lock:
            if self._outcome is not None or self.cancelled:
                return False
            self._outcome = outcome
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            self._run(partial(listener.tell, outcome))
        return True

    def __call__(self, *args: Any) -> None:
        """It came true, with these."""
        self.settle(Outcome(args))

    def throw(self, exc: BaseException | None = None, tb: TracebackType | None = None, propagate: bool = True) -> None:
        """It did not come true, and will not; with `propagate` the exception is also raised here."""
        error = self._fail(exc)
        if propagate:
            raise error if tb is None else error.with_traceback(tb)

    def throw1(self, exc: BaseException | None = None) -> None:
        """It did not come true, and will not."""
        self._fail(exc)

    def cancel(self) -> None:
        """Call nothing any more; nor will what was chained on it."""
        with self._lock:
            self.cancelled = True
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.after.cancel()

    @property
    def ready(self) -> bool:
        """Whether it came true."""
        return self._outcome is not None and self._outcome.args is not None

    @property
    def failed(self) -> bool:
        """Whether it cannot come true any more."""
        return self._outcome is not None and self._outcome.error is not None

    @property
    def reason(self) -> BaseException | None:
        """Why not."""
        return None if self._outcome is None else self._outcome.error

    @property
    def value(self) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """(args, kwargs) once it is ready."""
        return None if self._outcome is None or self._outcome.args is None else (self._outcome.args, {})

    def _fail(self, exc: BaseException | None) -> BaseException:
        error = exc if exc is not None else RuntimeError("a promise was broken, and nobody said why")
        self.settle(Outcome(None, error))
        return error


class _Listener(NamedTuple):
    callback: Callable[..., Any] | None
    on_error: Callable[..., Any] | None
    after: Any

    def tell(self, outcome: Outcome) -> None:
        """Call what is to be called, and settle what comes after. Called once."""
        args, error = outcome
        if getattr(self.after, "cancelled", False):
            return
        try:
            if error is not None and self.on_error is not None:
                self.on_error(error)
                self._break(error)
            elif args is None:
                self._break(cast("BaseException", error))
            elif self.callback is None:
                self.after(*args)
            elif self.after is self.callback:
                self.callback(*args)
            else:
                self.after(self.callback(*args))
        except Exception as raised:
            logger.exception("a callback raised")
            self._break(raised)

    def _break(self, error: BaseException) -> None:
        try:
            if hasattr(self.after, "throw1"):
                self.after.throw1(error)
            else:
                self.after.throw(error, propagate=False)
        except Exception as raised:
            if raised is not error:  # vine raises what it was told, where nobody listens for it
                logger.exception("a callback raised")


def is_thenable(thing: object) -> bool:
    """Whether vine would take it for a promise."""
    return isinstance(thing, Thenable)


register = Thenable.register
