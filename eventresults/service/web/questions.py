"""Reads of the view, which may wait, off the event loop: in a bounded number of threads, with a bounded queue before them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from eventresults.service.web.limits import Limits
from eventresults.service.web.problems import Refused

T = TypeVar("T")


class Questions:
    """Asks the view in threads of its own. Used on the event loop; `close` may come from any thread."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.reading + limits.waiting
        self._seconds = limits.request_seconds
        self._pool = ThreadPoolExecutor(limits.reading, thread_name_prefix="eventresults-web-read")
        self._lock = threading.Lock()
        self._open = 0

    @property
    def open(self) -> int:
        """How many reads are under way or wait for a thread."""
        return self._open

    async def ask(self, question: Callable[[], T]) -> T:
        """What the question returns or raises. Raises `Refused` when too much is asked already, or when it takes too long."""
        with self._lock:
            if self._open >= self._most:
                raise Refused(
                    429,
                    "too-many-reads",
                    "Too much is asked at once",
                    f"{self._open} reads are under way or wait: ask again in a second, or ask for many ids at once.",
                    headers={"Retry-After": "1"},
                )
            self._open += 1
        try:
            future = self._pool.submit(question)
        except RuntimeError:
            self._done()
            raise Refused(503, "closed", "The service is closing", "Ask again in a second.", headers={"Retry-After": "1"}) from None
        # The thread counts until it is free, also when nobody waits for its answer any more.
        future.add_done_callback(self._done)
        try:
            async with asyncio.timeout(self._seconds) as scope:
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if not scope.expired():
                raise
            raise Refused(
                503,
                "too-slow",
                "The request took too long",
                f"The view did not answer within {self._seconds:g} s: ask for less, or with freshness=applied.",
                headers={"Retry-After": "1"},
            ) from None

    def close(self) -> None:
        """Take no further question. What is under way ends with the view. Idempotent."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, _: Future[Any] | None = None) -> None:
        with self._lock:
            self._open -= 1
