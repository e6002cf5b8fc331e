"""Ending a long command in good order: SIGTERM and SIGINT ask it to stop, and it does so where it can."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Inside, the event is set by the first SIGTERM or SIGINT; a second one does what it always does. In the main thread only."""
    stopped = threading.Event()
    before: dict[int, Any] = {}

    def stop(_number: int, _frame: object) -> None:
        stopped.set()
        restore()

    def restore() -> None:
        while before:
            signal.signal(*before.popitem())

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, stop)
    try:
        yield stopped
    finally:
        restore()
