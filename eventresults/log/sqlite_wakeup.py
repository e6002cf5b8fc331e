"""How writers of one file wake its readers in the same process."""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path


class Wakeup:
    """A bell shared by all that use one file in this process. `writing` makes its writers queue up instead of colliding."""

    def __init__(self) -> None:
        self.count = 0
        self.writing = threading.Lock()
        self._rung = threading.Condition(threading.Lock())

    def ring(self) -> None:
        """Wake all who wait."""
        with self._rung:
            self.count += 1
            self._rung.notify_all()

    def wait(self, seen: int, timeout: float) -> bool:
        """Wait until it rang since `count` was `seen`; False when `timeout` seconds passed."""
        with self._rung:
            return self.count != seen or self._rung.wait(max(0.0, timeout))


_bells: weakref.WeakValueDictionary[tuple[int, str], Wakeup] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def wakeup_for(path: Path) -> Wakeup:
    """The bell of this file in this process."""
    # By process id: a forked child inherits a bell whose lock a thread of its parent may hold for ever.
    key = os.getpid(), os.path.realpath(path)
    with _lock:
        bell = _bells.get(key)
        if bell is None:
            bell = _bells[key] = Wakeup()
        return bell
