"""How a forked child of an owner ends."""

from __future__ import annotations

import ctypes


def end_without_destructors() -> None:
    """Have this process end, once Python is done, without what C++ does then: RocksDB would join threads that only the parent has."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):  # elsewhere a forked child must end as those of multiprocessing do, by os._exit
        libc.on_exit(libc._exit, None)  # noqa: SLF001 - the C function of this name
