"""Results that are waited for: what each holds, and how fast they are resolved."""

from __future__ import annotations

import gc
import itertools
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import eventresults
from benchmarks.bench import Bench, folder
from eventresults import AsyncResult


def pending(count: int) -> Callable[[Bench], Iterator[tuple[str, float]]]:
    """Of so many at once."""

    def measure(_: Bench) -> Iterator[tuple[str, float]]:
        with folder() as home:
            held, rate, left = promises(home, count)
        yield "pending results, bytes each", held
        yield "pending results, resolved /s", rate
        yield "pending results, objects left for each", left

    return measure


def promises(home: Path, count: int) -> tuple[float, float, float]:
    """(bytes held per pending promise, promises resolved per second, objects left per promise once all had fired).

    The log and the view are on disk; a first round fills every cache, the second is measured. What is left is counted in blocks of
    Python's allocator: RocksDB's own buffers, which are bounded and fill up meanwhile, are none of the promises'.
    """
    with eventresults.connect(f"sqlite:///{home}/events.db") as tracker:
        _resolve(tracker, "warm-up", count)
        gc.collect()
        before = sys.getallocatedblocks()
        held, rate = _resolve(tracker, "measured", count)
        gc.collect()
        return held, rate, (sys.getallocatedblocks() - before) / count


def _resolve(tracker: eventresults.Tracker, name: str, count: int) -> tuple[float, float]:
    recorder = tracker.recorder(worker="bench")
    left = itertools.count(count - 1, -1)
    done = threading.Event()

    def called(_: object) -> None:
        if not next(left):
            done.set()

    before = _resident()
    for number in range(count):
        AsyncResult(f"{name}-{number}", app=tracker).then(called)
    held = (_resident() - before) / count
    begun = time.perf_counter()
    for number in range(count):
        recorder.succeeded(f"{name}-{number}", result=1)
    assert done.wait(300)
    return held, count / (time.perf_counter() - begun)


def _resident() -> int:
    gc.collect()
    with Path("/proc/self/statm").open() as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
