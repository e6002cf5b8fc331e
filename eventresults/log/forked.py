"""What becomes of open connections when the process forks: the child leaves them alone, and they are made new where they can be."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from typing import Protocol

#: A call that takes longer than this is not waited for: a fork is late then, but not for ever.
FORK_PATIENCE_SECONDS = 5.0


class ForkAware(Protocol):
    """Something that holds connections, threads or locks, none of which a forked child may use."""

    def after_fork_in_child(self) -> None:
        """Called in the child, while it has one thread: give up what was inherited, without a word to anybody."""


def tell_of_forks(what: ForkAware) -> None:
    """Call `what.after_fork_in_child()` in every child that is forked while `what` lives."""
    _aware.add(what)


def leave_to_parent(*inherited: object) -> None:
    """Keep the destructors of these from ever running in this process: they would talk over the parent's connections."""
    for each in inherited:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))


class Calls:
    """Calls into a C library that has locks of its own. A fork waits until none is under way: its child would inherit a lock
    that no thread of it will ever release.

    Enter it (`with calls:`) around such calls, never around waiting, and never twice by one thread.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._under_way = 0
        self._forks = 0
        os.register_at_fork(before=self._pause, after_in_parent=self._resume, after_in_child=self._renew)

    def __enter__(self) -> None:
        with self._changed:
            while self._forks:
                self._changed.wait()
            self._under_way += 1

    def __exit__(self, *exc_info: object) -> None:
        with self._changed:
            self._under_way -= 1
            if self._forks:
                self._changed.notify_all()

    def _pause(self) -> None:
        with self._changed:
            self._forks += 1
            self._changed.wait_for(lambda: not self._under_way, FORK_PATIENCE_SECONDS)

    def _resume(self) -> None:
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()

    def _renew(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._under_way = self._forks = 0


#: SQLite's allocator and its list of files are guarded by locks of the whole process.
sqlite_calls = Calls()

_aware: weakref.WeakSet[ForkAware] = weakref.WeakSet()


def _tell() -> None:
    for each in list(_aware):
        each.after_fork_in_child()


os.register_at_fork(after_in_child=_tell)
