"""The thread that runs what users hand in: one callback after another, never on the projector's thread."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress

logger = logging.getLogger(__name__)

NAME = "eventresults-callbacks"
#: The thread ends after so many seconds without work, so that an idle tracker keeps no interpreter alive.
IDLE_SECONDS = 0.25


class Callbacks:
    """Runs jobs in order on a thread of its own, which is there while there is work.

    `put` may be called from any thread and returns at once. What waits is bounded by what was registered: a promise puts one job for
    each callback, once.
    """

    def __init__(self, name: str = NAME) -> None:
        self._name = name
        self._closed = False
        self._given_up = False
        self.renew()

    def renew(self) -> None:
        """Begin anew in a forked child, where the thread is not, and a lock may be held for ever. What was put is the parent's to do."""
        self._jobs: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        # Reentrant: a destructor that the garbage collector runs meanwhile may come back here.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None

    def put(self, job: Callable[[], object]) -> bool:
        """Run `job` later. False when it will not be run: this is closed, or the interpreter is going down."""
        with self._lock:
            # A callback may still call others by what it does: a closing thread sees them off, too.
            if self._closed and (self._given_up or self._thread is not threading.current_thread()):
                if not self._given_up:
                    logger.warning("a callback was not called: its tracker is closed")
                return False
            self._jobs.put(job)
            return self._thread is not None or self._start()

    def run(self, job: Callable[..., object], *arguments: object) -> None:
        """Run `job(*arguments)` now, on the thread itself, unless what was put is dropped by now; whatever it raises is logged."""
        if self._given_up:
            return
        try:
            job(*arguments)
        except BaseException:  # a callback may call sys.exit(): that must not stop the others
            logger.exception("a callback failed")

    def stop(self) -> None:
        """Take no more, drop what was put, and wait for nothing: what runs ends by itself."""
        with self._lock:
            self._closed = self._given_up = True
            self._drop()
            self._jobs.put(_nothing)  # wakes the thread, which then ends

    def close(self, timeout: float = 5.0) -> None:
        """Take no more, and wait at most `timeout` seconds for what was put. Idempotent; from a callback it does not wait."""
        with self._lock:
            self._closed = True
            self._jobs.put(_nothing)
            thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        thread.join(timeout)
        if thread.is_alive():
            self.stop()
            logger.warning("a callback still runs %g s after its tracker was closed; those behind it will not be called", timeout)

    def _start(self) -> bool:
        self._thread = threading.Thread(target=self._run, name=self._name)
        try:
            self._thread.start()
        except RuntimeError:
            self._thread = None
            self._drop()
            logger.exception("a callback could not be run: no thread can be started any more")
            return False
        return True

    def _drop(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._jobs.get_nowait()

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=0 if self._closed else IDLE_SECONDS)
            except queue.Empty:
                if self._ends():
                    return
            else:
                self.run(job)
                del job

    def _ends(self) -> bool:
        """Whether there is still nothing to do; then the next job has another thread started."""
        with self._lock:
            idle = self._jobs.empty()
            if idle and self._thread is threading.current_thread():
                self._thread = None
            return idle


def _nothing() -> None:
    pass
