"""What is measured. Each function does its work once on a fresh log and gives figures; `benchmarks.__main__` repeats and compares."""

from __future__ import annotations

import gc
import itertools
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import eventresults
from benchmarks.work import Fact, facts
from eventresults import AsyncResult, bootstrap
from eventresults.config import load_settings
from eventresults.log.base import Log

Settings = dict[str, Any]


def fill(log: Log, work: Iterable[Fact]) -> None:
    """Append this work, and wait until the log has all of it."""
    writer = log.writer()
    last = None
    for fact in work:
        last = writer.append(fact.task_id.encode(), fact.value)
    assert last is not None
    last.result(timeout=120)
    assert writer.flush(120)
    writer.close()


def fold(url: str, folder: Path, tasks: int, **settings: Any) -> float:
    """Events folded per second: from an empty view on disk to one that has folded the whole log. The log is filled first if it is empty."""
    loaded = load_settings(url, view=str(folder / "view"), **settings)
    log = bootstrap.make_log(loaded)
    info = log.info(30)
    if sum(info.ends.values()) == sum(info.starts.values()):
        fill(log, facts(tasks))
        info = log.info(30)
    log.close()
    events = sum(info.ends.values()) - sum(info.starts.values())
    with eventresults.connect(url, view=str(folder / "view"), read_timeout=300, **settings) as tracker:
        begun = time.perf_counter()
        assert tracker.read("no such task") is None
        seconds = time.perf_counter() - begun
        assert sum(p["position"] for p in tracker.view_stats()["partitions"]) >= events
    return events / seconds


def read_only(url: str, batch: Callable[[int], int]) -> float:
    """Records read per second without folding them: the client's own limit."""
    log = bootstrap.make_log(load_settings(url))
    info = log.info(30)
    reader = log.reader(info.starts)
    left = sum(info.ends.values()) - sum(info.starts.values())
    total = left
    begun = time.perf_counter()
    while left > 0:
        left -= sum(batch(len(poll.records)) for poll in reader.poll(5).values())
    seconds = time.perf_counter() - begun
    reader.close()
    log.close()
    return total / seconds


def state_of_finished(tracker: eventresults.Tracker, ids: Sequence[str]) -> float:
    """`AsyncResult(id).state` per second, a new object each time, in the process that owns the view."""
    begun = time.perf_counter()
    for task_id in ids:
        assert AsyncResult(task_id, app=tracker).state == "SUCCESS"
    return len(ids) / (time.perf_counter() - begun)


def exists_of_unknown(tracker: eventresults.Tracker, count: int) -> float:
    """`read(freshness="applied")` of unknown ids, per second."""
    begun = time.perf_counter()
    for number in range(count):
        assert tracker.read(f"unknown-{number}", freshness="applied") is None
    return count / (time.perf_counter() - begun)


def append(url: str, tasks: int, **settings: Any) -> float:
    """Facts recorded per second, acknowledgements awaited at the end."""
    with eventresults.connect(url, **settings) as tracker:
        recorder = tracker.recorder(worker="bench")
        recorder.sent("warm-up").result(timeout=30)
        work = [(fact.task_id, fact.kind, fact.fields) for fact in facts(tasks)]
        begun = time.perf_counter()
        for task_id, kind, fields in work:
            if kind == "task-sent":
                recorder.sent(
                    task_id,
                    name=fields["name"],
                    args=fields["args"],
                    kwargs=fields["kwargs"],
                    queue=fields["queue"],
                    root_id=task_id,
                    retries=0,
                )
            elif kind == "task-started":
                recorder.started(task_id, worker=fields["worker"], pid=4242, attempt=1)
            else:
                recorder.succeeded(task_id, result=fields["result"], runtime=fields["runtime"], worker=fields["worker"])
        assert tracker.flush(120)
        return len(work) / (time.perf_counter() - begun)


def callback_latency(url: str, rounds: int, **settings: Any) -> float:
    """Median seconds from appending a finishing fact to the callback, one at a time."""
    with eventresults.connect(url, **settings) as tracker:
        recorder = tracker.recorder(worker="bench")
        samples = []
        for number in range(rounds):
            task_id = f"latency-{number}-{time.time_ns()}"
            recorder.sent(task_id).result(timeout=10)
            called = threading.Event()
            at: list[float] = []
            AsyncResult(task_id, app=tracker).then(lambda _, at=at, called=called: (at.append(time.perf_counter()), called.set()))
            assert tracker.read(task_id) is not None
            begun = time.perf_counter()
            recorder.succeeded(task_id, result=number)
            assert called.wait(10)
            samples.append(at[0] - begun)
        return statistics.median(samples[rounds // 10 :])


def raw_latency(url: str, rounds: int) -> float:
    """Median seconds from a raw append to its being read by a reader in another thread, one at a time."""
    log = bootstrap.make_log(load_settings(url))
    writer = log.writer()
    writer.append(b"warm-up", b"{}").result(timeout=30)
    reader = log.reader(log.info(10).ends)
    arrived = threading.Semaphore(0)
    times: list[float] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            for poll in reader.poll(0.2).values():
                for _ in poll.records:
                    times.append(time.perf_counter())
                    arrived.release()

    thread = threading.Thread(target=read, name="bench-reader")
    thread.start()
    samples = []
    for number in range(rounds):
        begun = time.perf_counter()
        writer.append(f"key-{number}".encode(), b"x" * 300)
        assert arrived.acquire(timeout=10)
        samples.append(times[-1] - begun)
    stop.set()
    thread.join()
    reader.close()
    writer.close()
    log.close()
    return statistics.median(samples[rounds // 10 :])


def promises(folder: Path, count: int) -> tuple[float, float, float]:
    """(bytes held per pending promise, promises resolved per second, objects left per promise once all had fired).

    The log and the view are on disk; a first round fills every cache, the second is measured. What is left is counted in blocks of
    Python's allocator: RocksDB's own buffers, which are bounded and fill up meanwhile, are none of the promises'.
    """
    with eventresults.connect(f"sqlite:///{folder}/events.db") as tracker:
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
