"""Promises: what is to be called once something has come true.

Like vine's, and usable wherever vine takes a `Thenable`, but safe under threads: each settles once, each callback is called exactly
once, and an exception in one is logged and stops no other.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, cast

from vine import Thenable

logger = logging.getLogger(__name__)

# Guards the moment in which a promise changes, for all of them: it is held for less than a microsecond. Reentrant, for a destructor that
# the garbage collector runs meanwhile may come back here.
_changing = threading.RLock()

Runner = Callable[[Callable[[], object]], object]


class Outcome(NamedTuple):
    """How a promise was settled.

    `args` are for the callback, None when there is nothing to call it with; `error` is for `on_error`. With both, a callback that has
    no `on_error` beside it is called, for no completion passes in silence.
    """

    args: tuple[Any, ...] | None
    error: BaseException | None = None


def changing() -> threading.RLock:
    """The lock of all promises, for who decides which one there is: hold it as shortly."""
    return _changing


def run_here(job: Callable[[], object]) -> None:
    """A `Runner` that runs the job at once."""
    job()


@Thenable.register
class Promise:
    """Settled at most once; then, and from then on, its callbacks are run by `run`.

    `ready`: it came true. `failed`: it did not, and `reason` says why. `value` is (args, kwargs), as vine has it.

    A million of them may be open at once: so each keeps its callbacks in the promises of what these return, which are linked, the last
    one first, and one lock does for all.
    """

    __slots__ = ("__weakref__", "_last", "_outcome", "_run", "cancelled")

    def __init__(self, run: Runner) -> None:
        self._run = run
        self._outcome: Outcome | None = None
        self._last: _Next | None = None
        self.cancelled = False

    def then(self, callback: Callable[..., Any] | None, on_error: Callable[..., Any] | None = None) -> Any:
        """Call `callback` with the value, or `on_error` with the exception.

        Returns a promise of what the callback returns (the callback itself when that is a `Thenable`). None passes the value on.
        """
        if callback is not None and not callable(callback):
            raise TypeError(f"then() takes a callable, not {type(callback).__name__}")
        following = _Next(self._run, callback, on_error)
        with _changing:
            outcome, cancelled = self._outcome, self.cancelled
            if outcome is None and not cancelled:
                following.before, self._last = self._last, following
        after = following.after
        if cancelled:
            after.cancel()
        elif outcome is not None:
            self._run(partial(following.tell, outcome))
        return after

    def settle(self, outcome: Outcome, run: Runner | None = None) -> bool:
        """Settle it; False when it was settled or cancelled before. `run` runs the callbacks (None: what runs those that come later)."""
        with _changing:
            if self._outcome is not None or self.cancelled:
                return False
            self._outcome = outcome
            last, self._last = self._last, None
        if last is not None:
            run = run or self._run
            for following in _in_order(last):
                run(partial(following.tell, outcome))
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
        with _changing:
            self.cancelled = True
            last, self._last = self._last, None
        for following in _in_order(last):
            following.after.cancel()

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


class _Next(Promise):
    """What a promise leads to: the callbacks that hang on it, and the promise of what these return."""

    __slots__ = ("_callback", "_on_error", "_theirs", "before")

    def __init__(self, run: Runner, callback: Callable[..., Any] | None, on_error: Callable[..., Any] | None) -> None:
        super().__init__(run)
        self._callback = callback
        self._on_error = on_error
        self._theirs: Any = callback if isinstance(callback, Thenable) else None
        #: The one that hangs on the same promise, and was there before.
        self.before: _Next | None = None

    @property
    def after(self) -> Any:
        """What is settled once the callback was called: a promise that was handed in as one, else this."""
        return self if self._theirs is None else self._theirs

    def tell(self, outcome: Outcome) -> None:
        """Call what is to be called, and settle what comes after. Called once."""
        args, error = outcome
        callback, on_error, after = self._callback, self._on_error, self.after
        self._callback = self._on_error = self._theirs = None  # who keeps the promise of what they return need not keep them
        if getattr(after, "cancelled", False):
            return
        try:
            if error is not None and on_error is not None:
                on_error(error)
                _break(after, error)
            elif args is None:
                _break(after, cast("BaseException", error))
            elif callback is None:
                after(*args)
            elif after is callback:
                callback(*args)
            else:
                after(callback(*args))
        except Exception as raised:
            logger.exception("a callback raised")
            _break(after, raised)


def _in_order(last: _Next | None) -> list[_Next]:
    """The first one first, and no longer linked."""
    if last is not None and last.before is None:
        return [last]
    found: list[_Next] = []
    while last is not None:
        found.append(last)
        last.before, last = None, last.before
    found.reverse()
    return found


def _break(after: Any, error: BaseException) -> None:
    try:
        if hasattr(after, "throw1"):
            after.throw1(error)
        else:
            after.throw(error, propagate=False)
    except Exception as raised:
        if raised is not error:  # vine raises what it was told, where nobody listens for it
            logger.exception("a callback raised")


def is_thenable(thing: object) -> bool:
    """Whether vine would take it for a promise."""
    return isinstance(thing, Thenable)


register = Thenable.register


def _renew() -> None:
    global _changing  # noqa: PLW0603 - a forked child may inherit it held by a thread that it does not have
    _changing = threading.RLock()


os.register_at_fork(after_in_child=_renew)
