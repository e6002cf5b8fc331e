"""Calls that come from another thread, and how long a test waits for what must come."""

from __future__ import annotations

import threading

SOON = 10.0


class Collected:
    """Takes calls from another thread, and waits for them with a deadline."""

    def __init__(self):
        self.items = []
        self._changed = threading.Condition()

    def __call__(self, item=None):
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def wait(self, count=1):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.items) >= count, SOON), f"only {self.items!r} came"
        return self.items
