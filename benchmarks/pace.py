"""How often a second something can be done, and doing it at a steady pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator


def rate(act: Callable[[int], object], count: int) -> float:
    """How often a second."""
    begun = time.perf_counter()
    for number in range(count):
        act(number)
    return count / (time.perf_counter() - begun)


def rate_of_threads(act: Callable[[int], object], count: int, threads: int) -> float:
    """How often a second, by so many threads at once."""
    crew = [threading.Thread(target=rate, args=(act, count)) for _ in range(threads)]
    begun = time.perf_counter()
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    return threads * count / (time.perf_counter() - begun)


def paced(per_second: float, count: int) -> Iterator[int]:
    """Numbers from 0, each not before its moment; those that are late come at once."""
    begun = time.perf_counter()
    for number in range(count):
        ahead = begun + number / per_second - time.perf_counter()
        if ahead > 0:
            time.sleep(ahead)
        yield number
