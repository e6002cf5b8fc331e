"""What becomes of open connections when the process forks: the child leaves them alone, and they are made new where they can be."""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Protocol


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


_aware: weakref.WeakSet[ForkAware] = weakref.WeakSet()


def _tell() -> None:
    for each in list(_aware):
        each.after_fork_in_child()


os.register_at_fork(after_in_child=_tell)
