"""Which processes cannot own a view, whatever they are asked for."""

from __future__ import annotations

import os
import sys

from eventresults.service.leaving import end_without_destructors


def unfit(*, on_disk: bool) -> str | None:
    """Why a view cannot be owned in this process, whatever is asked for, if it cannot."""
    patched = patched_by()
    if patched is not None:
        return f"a process patched by {patched} cannot own one"
    if on_disk and RocksThreads.inherited:
        return "a process forked from one that had a view open cannot own one"
    return None


class RocksThreads:
    """Whether RocksDB's threads were started in this process, or in one that it was forked from: it never starts them anew."""

    opened = False
    inherited = False

    @classmethod
    def in_forked_child(cls) -> None:
        """What the parent did."""
        cls.inherited = cls.inherited or cls.opened
        if cls.inherited:  # also by one that owns no view any more
            end_without_destructors()


os.register_at_fork(after_in_child=RocksThreads.in_forked_child)


def patched_by() -> str | None:
    """What has replaced Python's threads in this process, if anything has: a projector would never get its turn."""
    for name in ("gevent", "eventlet"):
        module = sys.modules.get(name)
        if module is None:
            continue
        patcher = sys.modules.get(f"{name}.monkey") or sys.modules.get(f"{name}.patcher")
        patched = getattr(patcher, "is_module_patched", None) or getattr(patcher, "is_monkey_patched", None)
        if patched is not None and (patched("threading") or patched("thread")):
            return name
    return None
