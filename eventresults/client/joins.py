"""Whether waiting for a task is allowed here: inside a task it can deadlock all workers.

The mark goes with the context (`contextvars`): a task in one thread forbids nothing to another. `share_flag` puts another holder in
its place, for a process whose workers keep such a mark already.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from eventresults.errors import WouldBlock


def task_join_will_block() -> bool:
    """Whether `get()` is forbidden here."""
    return _flag.get()


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
    with _blocking(False):
        yield


@contextmanager
def denied_join_result() -> Iterator[None]:
    """Inside, waiting for results raises `WouldBlock`. What runs tasks runs them in this."""
    with _blocking(True):
        yield


class JoinFlag(Protocol):
    """Holds the mark."""

    def get(self) -> bool:
        """Whether waiting is forbidden."""

    def set(self, value: bool, /) -> object:
        """Forbid or allow it."""


def share_flag(flag: JoinFlag) -> None:
    """Keep the mark in `flag` from now on."""
    global _flag  # noqa: PLW0603 - there is one mark
    _flag = flag


@contextmanager
def _blocking(value: bool) -> Iterator[None]:
    flag = _flag
    before = flag.get()
    flag.set(value)
    try:
        yield
    finally:
        flag.set(before)


_flag: JoinFlag = ContextVar("eventresults_join_will_block", default=False)
