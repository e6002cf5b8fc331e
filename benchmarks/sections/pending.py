"""Results that are waited for: what each holds, and how fast they are resolved."""

from __future__ import annotations

import gc
import itertools
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import eventresults
from benchmarks.bench import Bench, folder
from eventresults import AsyncResult, Position, TaskMeta, TaskSucceeded
from eventresults.view.base import Change, Fact

PATIENCE_SECONDS = 600.0
#: As many changes come of one poll.
POLL = 5_000


def pending(count: int) -> Callable[[Bench], Iterator[tuple[str, float]]]:
    """Of so many at once, in a process of their own, which has no room left over from anything else; the log and the view are on disk."""

    def measure(_: Bench) -> Iterator[tuple[str, float]]:
        with subprocess.Popen([sys.executable, "-m", __name__, str(count)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                name, figure = json.loads(line)
                yield name, figure
        if process.returncode:
            raise RuntimeError(f"the process of the pending results ended with {process.returncode}")

    return measure


def measured(count: int) -> Iterator[tuple[str, float]]:
    """Resolving alone is from the moment that the projector tells of the ends, in polls of 5,000, to the last callback.

    The whole way begins with this process recording them, so that the appending and the folding share its interpreter.
    """
    with folder() as home, eventresults.connect(f"sqlite:///{home}/events.db") as tracker:
        _by_recording(tracker, _Waiting(tracker, "warm-up", min(count, 1_000)))
        before = _resident()
        begun = time.perf_counter()
        waiting = _Waiting(tracker, "first", count)
        yield "pending results, made /s", count / (time.perf_counter() - begun)
        yield "pending results, bytes each", (_resident() - before) / count
        # What is left is counted from here on, when every cache is full, in blocks of Python's allocator: RocksDB's own buffers, which are
        # bounded and fill up meanwhile, are none of the promises'.
        yield "pending results, recorded, folded and resolved in one process, /s", _by_recording(tracker, waiting)
        del waiting
        blocks = _blocks()
        waiting = _Waiting(tracker, "second", count)
        yield "pending results, resolved /s", _by_telling(tracker, waiting)
        del waiting
        yield "pending results, objects left for each", (_blocks() - blocks) / count


class _Waiting:
    """As many results, each with a callback."""

    def __init__(self, tracker: eventresults.Tracker, name: str, count: int) -> None:
        self.ids = [f"{name}-{number}" for number in range(count)]
        self.resolved = threading.Event()
        self._left = itertools.count(count - 1, -1)
        for task_id in self.ids:
            AsyncResult(task_id, app=tracker).then(self._called)

    def _called(self, _: AsyncResult) -> None:
        if not next(self._left):
            self.resolved.set()


def _by_recording(tracker: eventresults.Tracker, waiting: _Waiting) -> float:
    recorder = tracker.recorder(worker="bench")
    begun = time.perf_counter()
    for task_id in waiting.ids:
        recorder.succeeded(task_id, result=1)
    assert waiting.resolved.wait(PATIENCE_SECONDS)
    return len(waiting.ids) / (time.perf_counter() - begun)


def _by_telling(tracker: eventresults.Tracker, waiting: _Waiting) -> float:
    view = tracker.view.held.owner.view  # type: ignore[union-attr] - this process owns it
    position = view.position(0)
    # One end for all: a result looks at the id that it was made with.
    now = datetime.now(UTC)
    fact = Fact(Position(0, 2**60), 0, TaskSucceeded(task_id="all", time=now, result=1))
    meta = TaskMeta(task_id="all", state="SUCCESS", result=1, date_done=now)
    begun = time.perf_counter()
    for at in range(0, len(waiting.ids), POLL):
        view.publish(0, position, [Change(task_id, fact, meta) for task_id in waiting.ids[at : at + POLL]])
    assert waiting.resolved.wait(PATIENCE_SECONDS)
    return len(waiting.ids) / (time.perf_counter() - begun)


def _blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


def _resident() -> int:
    gc.collect()
    with Path("/proc/self/statm").open() as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    for figure in measured(int(sys.argv[1])):
        print(json.dumps(figure), flush=True)
