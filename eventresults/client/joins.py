"""Whether waiting for a task is allowed here: inside a task it can deadlock all workers.

The mark goes with the context (`contextvars`): a task in one thread forbids nothing to another. In a process whose tasks another library
marks, `share_flag` has the functions that users call set and obey that library's mark too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Protocol

from eventresults.errors import WouldBlock


def task_join_will_block() -> bool:
    """Whether `get()` is forbidden here."""
    return _mark.get() or (_shared is not None and _shared.get())


def assert_will_not_block() -> None:
    """Raise `WouldBlock` (a RuntimeError) where `get()` is forbidden."""
    if task_join_will_block():
        raise WouldBlock(
            "Never wait for a result within a task: if all workers wait, none is left to do the work. Chain the tasks, or use "
            "`with allow_join_result():` (or get(disable_sync_subtasks=False)) where you know that it cannot happen."
        )


@contextmanager
def allow_join_result() -> Iterator[None]:
    """Inside, waiting for results is allowed."""
    with _set(_mark, False), nullcontext() if _shared is None else _set(_shared, False):
        yield


@contextmanager
def denied_join_result() -> Iterator[None]:
    """Inside, waiting for results raises `WouldBlock`."""
    with _set(_mark if _shared is None else _shared, True):
        yield


@contextmanager
def inside_task() -> Iterator[None]:
    """As `denied_join_result`, for this context alone, whatever mark is shared. What runs tasks runs them in this."""
    with _set(_mark, True):
        yield


class JoinFlag(Protocol):
    """Holds a mark."""

    def get(self) -> bool:
        """Whether waiting is forbidden."""

    def set(self, value: bool, /) -> object:
        """Forbid or allow it."""


def share_flag(flag: JoinFlag | None) -> JoinFlag | None:
    """Set and obey this mark as well from now on (None: ours alone); the one before."""
    global _shared
    before, _shared = _shared, flag
    return before


@contextmanager
def _set(flag: JoinFlag, value: bool) -> Iterator[None]:
    before = flag.get()
    flag.set(value)
    try:
        yield
    finally:
        flag.set(before)


_mark: ContextVar[bool] = ContextVar("eventresults_join_will_block", default=False)
_shared: JoinFlag | None = None
