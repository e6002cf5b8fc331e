"""Calls at their times: one thread, one heap."""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import count

logger = logging.getLogger(__name__)

Call = Callable[[], object]
Entry = tuple[float, int, Call]


class Schedule:
    """Makes each call once, at its time or soon after, one after the other in a thread of its own.

    The thread starts with the first call and ends with `close()`. A call that raises is logged and stops no other. Safe from any
    thread; neither `at` nor `soon` ever waits for a call under way.
    """

    def __init__(self, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._wake = threading.Condition()
        self._soon: deque[Call] = deque()
        self._heap: list[Entry] = []
        self._cancelled: set[int] = set()
        self._number = count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def soon(self, call: Call) -> None:
        """Make this call as soon as the thread is free. Does nothing once closed."""
        with self._wake:
            if not self._closed:
                self._soon.append(call)
                self._stir()

    def after(self, delay: float, call: Call) -> Callable[[], None]:
        """Make this call `delay` seconds from now. Returns what cancels it; does nothing once closed."""
        number = next(self._number)
        with self._wake:
            if not self._closed:
                heapq.heappush(self._heap, (self._clock() + delay, number, call))
                self._stir()
        return lambda: self._cancel(number)

    def close(self, timeout: float = 1.0) -> None:
        """Drop what is due later, finish the call under way, end the thread (waiting `timeout` seconds at most). Idempotent."""
        with self._wake:
            self._closed = True
            self._soon.clear()
            self._heap.clear()
            self._wake.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _cancel(self, number: int) -> None:
        # To look for one entry is to look at all: cancelled ones stay until they are due, or are half of what there is.
        with self._wake:
            self._cancelled.add(number)
            if len(self._cancelled) * 2 > len(self._heap):
                self._heap = [entry for entry in self._heap if entry[1] not in self._cancelled]
                heapq.heapify(self._heap)
                self._cancelled.clear()

    def _stir(self) -> None:
        if self._thread is None:
            # Daemon: it holds nothing that its sudden end could harm, and an interpreter that exits must not wait for a countdown.
            self._thread = threading.Thread(target=self._run, name=f"eventresults-{self._name}-schedule", daemon=True)
            self._thread.start()
        self._wake.notify()

    def _run(self) -> None:
        while (call := self._next()) is not None:
            try:
                call()
            except Exception:
                logger.exception("a scheduled call of executor %s failed", self._name)

    def _next(self) -> Call | None:
        with self._wake:
            while not self._closed:
                if self._soon:
                    return self._soon.popleft()
                due = self._heap[0][0] - self._clock() if self._heap else None
                if due is not None and due <= 0:
                    _, number, call = heapq.heappop(self._heap)
                    if number not in self._cancelled:
                        return call
                    self._cancelled.discard(number)
                    continue
                self._wake.wait(due if due is None else min(due, threading.TIMEOUT_MAX))
        return None
