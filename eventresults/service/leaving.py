"""How a process ends that holds a view, and how a forked child of one does."""

from __future__ import annotations

import atexit
import ctypes
import os
import weakref
from collections.abc import Callable
from typing import Protocol


class Closable(Protocol):
    """Something to be closed in time."""

    def close(self) -> None:
        """Idempotent."""


def close_at_exit(what: Closable) -> Callable[[], None]:
    """Close it before the interpreter ends: a thread that Python ends amid RocksDB's code takes the process down with it.

    What was given last is closed first. Returns what takes this back.
    """
    reference, pid = weakref.ref(what), os.getpid()

    def close() -> None:
        alive = reference()
        if alive is not None and os.getpid() == pid:  # what a forked child inherits is not its own to close
            alive.close()

    atexit.register(close)
    return lambda: atexit.unregister(close)


def end_without_destructors() -> None:
    """Have this process end, once Python is done, without what C++ does then: RocksDB would join threads that only the parent has."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):  # elsewhere a forked child must end as those of multiprocessing do, by os._exit
        libc.on_exit(libc._exit, None)  # noqa: SLF001 - the C function of this name
