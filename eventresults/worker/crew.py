"""An executor's workers: threads, each with a `Runner`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from eventresults.worker.attempt import Runner
from eventresults.worker.job import Job


class Crew:
    """Does the jobs that are put, in their order, each by `work(job, runner)`, which must not raise. Any thread.

    A worker is hired when a job finds none idle, up to `size`.
    """

    def __init__(self, name: str, *, size: int, runner: Callable[[], Runner], work: Callable[[Job, Runner], None]) -> None:
        self._name = name
        self._size = size
        self._runner = runner
        self._do = work
        self._lock = threading.Lock()
        self._ready: SimpleQueue[Job | None] = SimpleQueue()
        self._workers: set[threading.Thread] = set()
        self._hired = 0
        self._idle = 0

    def put(self, job: Job) -> None:
        """Have this job done."""
        with self._lock:
            self._ready.put(job)
            if self._idle:
                self._idle -= 1
            elif len(self._workers) < self._size:
                self._hire()

    def end(self) -> None:
        """Nothing is left to do: let the workers go. Does not wait for them."""
        with self._lock:
            for _ in self._workers:
                self._ready.put(None)

    def join(self, timeout: float) -> bool:
        """Wait for the end of the workers; False when `timeout` seconds were not enough."""
        deadline = time.monotonic() + timeout
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            worker.join(max(deadline - time.monotonic(), 0))
        return not any(worker.is_alive() for worker in workers)

    def has(self, thread: threading.Thread) -> bool:
        """Whether this thread is one of the workers."""
        return thread in self._workers

    def _hire(self) -> None:
        self._hired += 1
        # Daemon: the executor's own hook at exit ends the work in bounded time; a task that never ends must not hold the interpreter.
        worker = threading.Thread(target=self._work, name=f"eventresults-{self._name}-{self._hired}", daemon=True)
        worker.start()
        self._workers.add(worker)

    def _work(self) -> None:
        runner = self._runner()
        try:
            while (job := self._next()) is not None:
                self._do(job, runner)
        finally:
            runner.close()
            with self._lock:
                self._workers.discard(threading.current_thread())

    def _next(self) -> Job | None:
        with self._lock:
            try:
                return self._ready.get_nowait()
            except Empty:
                # The next `put` counts on this worker, whoever then is first to get its job.
                self._idle += 1
        return self._ready.get()
