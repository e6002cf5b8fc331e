"""Threads for questions that may wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future
from queue import SimpleQueue
from typing import Any, TypeVar

from eventresults.errors import Closed

logger = logging.getLogger(__name__)

_Work = tuple[Callable[..., Any], tuple[Any, ...], Future[Any] | None]

T = TypeVar("T")
R = TypeVar("R")


class Pool:
    """At most `size` threads, made as they are needed.

    As `concurrent.futures.ThreadPoolExecutor`, but at the end of the interpreter nobody waits for its threads: what they wait for could
    take as long as any reader's patience. Whoever owns what they work on closes it before that.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def submit(self, work: Callable[..., Any], /, *arguments: Any) -> None:
        """Call this on one of the threads, after what was submitted before; once closed, never."""
        self._put(work, arguments, None)

    def map(self, work: Callable[[T], R], each: Iterable[T]) -> list[R]:
        """What `work` returns for each of these, side by side, in their order; raises what the first of them raises.

        Raises `Closed` when the pool is closed before all have begun.
        """
        futures: list[Future[R]] = []
        for one in each:
            future: Future[R] = Future()
            futures.append(future)
            self._put(work, (one,), future)
        try:
            return [future.result() for future in futures]
        except CancelledError:
            raise Closed("This tracker is closed: open a new one with eventresults.connect().", what="tracker") from None

    def _put(self, work: Callable[..., Any], arguments: tuple[Any, ...], future: Future[Any] | None) -> None:
        with self._lock:
            if self._closed:
                if future is not None:
                    future.cancel()
                return
            self._queue.put((work, arguments, future))
            if self._idle.acquire(blocking=False) or len(self._threads) >= self._size:
                return
            thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Begin nothing more; the threads end when they are done with what they do. Idempotent, does not wait."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for _ in self._threads:
                self._queue.put(None)

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            work, arguments, future = task
            if self._closed:
                if future is not None:
                    future.cancel()
            elif future is not None:
                _settle(future, work, arguments)
            else:
                try:
                    work(*arguments)
                except Exception:
                    logger.exception("a question could not be answered")
            del task, work, arguments, future  # nothing stays alive for an idle thread
            self._idle.release()


def _settle(future: Future[Any], work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        future.set_result(work(*arguments))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is for who waits
        future.set_exception(error)
