"""`python -m benchmarks.sharing [--tasks N]`: a view owned by one process and read by another, over the Unix socket and a service.

Beside each figure stands its goal; the unit of the first ones, 6,500 reads a second, is what Celery's `AsyncResult(id).state` gets
from Redis on a machine of this kind.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import eventresults
from benchmarks.machine import facts as machine_facts
from benchmarks.measures import fill
from benchmarks.work import facts
from eventresults import bootstrap
from eventresults.config import load_settings
from eventresults.view.base import Change

CELERY_ON_REDIS = 6_500
OWNER = """
import sys, time, eventresults
tracker = eventresults.connect(sys.argv[1], read_timeout=600)
tracker.read("-")
print("owns", flush=True)
time.sleep(3600)
"""
WRITER = """
import sys, time, eventresults
url, count, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
with eventresults.connect(url) as tracker:
    recorder = tracker.recorder()
    begun = time.perf_counter()
    for number in range(count):
        ahead = begun + number / rate - time.perf_counter()
        if ahead > 0:
            time.sleep(ahead)
        recorder.succeeded(f"w{number}", result=time.time())
"""


def row(what: str, figure: str, goal: str = "") -> None:
    """Print one figure."""
    print(f"{what:<66} {figure:>18}  {goal}", flush=True)


@contextmanager
def owner(url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the view."""
    with subprocess.Popen([sys.executable, "-c", OWNER, url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owns\n"
        try:
            yield process
        finally:
            process.kill()


def rate(act: Callable[[int], object], count: int) -> float:
    """How often a second."""
    begun = time.perf_counter()
    for number in range(count):
        act(number)
    return count / (time.perf_counter() - begun)


def reads(tracker: eventresults.Tracker, ids: list[str]) -> None:
    """Reads of finished tasks by one thread, by sixteen, and in batches."""

    def state(number: int) -> None:
        assert tracker.AsyncResult(ids[number % len(ids)]).state == "SUCCESS"

    one = statistics.median(rate(state, 5_000) for _ in range(3))
    row("AsyncResult(id).state, one thread", f"{one:,.0f} /s", f"≥ 1 × {CELERY_ON_REDIS:,}: {one / CELERY_ON_REDIS:.2f} ×")

    def sixteen() -> float:
        threads = [threading.Thread(target=rate, args=(state, 1_500)) for _ in range(16)]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return 16 * 1_500 / (time.perf_counter() - begun)

    many = statistics.median(sixteen() for _ in range(3))
    row("… sixteen threads", f"{many:,.0f} /s", f"≥ 3 ×: {many / CELERY_ON_REDIS:.2f} ×")
    batch = ids[:1_000]
    batched = statistics.median(rate(lambda _: tracker.read_many(batch), 30) * len(batch) for _ in range(3))
    row("read_many of 1,000", f"{batched:,.0f} /s", f"≥ 10 ×: {batched / CELERY_ON_REDIS:.1f} ×")


def notifications(tracker: eventresults.Tracker, url: str, waiters: int, count: int, per_second: float) -> None:
    """From the recorder in a third process to a listener in this one."""
    late: list[float] = []
    done = threading.Event()

    def told(change: Change) -> None:
        late.append(time.time() - change.meta.result)  # type: ignore[union-attr]
        if len(late) == count:
            done.set()

    subscriptions = [tracker.view.subscribe([f"w{number}" for number in range(at, count, waiters)], told) for at in range(waiters)]
    with subprocess.Popen([sys.executable, "-c", WRITER, url, str(count), str(per_second)]) as writer:
        assert done.wait(120), f"only {len(late)} of {count}"
        writer.wait(30)
    for subscription in subscriptions:
        subscription.close()
    late.sort()
    row(
        f"notification of {waiters:,} remote waiters at {per_second:,.0f} events/s, p50 / p99",
        f"{late[len(late) // 2] * 1e3:.1f} / {late[len(late) * 99 // 100] * 1e3:.1f} ms",
        "p99 < 50 ms",
    )


def watching(tracker: eventresults.Tracker, count: int) -> None:
    """So many ids on one connection."""
    begun = time.perf_counter()
    subscription = tracker.view.subscribe([f"watched-{number}" for number in range(count)], lambda _: None)
    assert tracker.read("-") is None
    row(f"to watch {count:,} ids on one connection", f"{time.perf_counter() - begun:.2f} s")
    subscription.close()


def takeovers(url: str, tracker: eventresults.Tracker, first: subprocess.Popen[str], rows: int) -> None:
    """From the end of the owner to an answer of the next one."""
    begun = time.perf_counter()
    first.kill()
    tracker.read("-")
    row(f"takeover after kill -9, {rows:,} rows", f"{time.perf_counter() - begun:.2f} s", "< 2 s")
    tracker.close()
    with owner(url) as second, eventresults.connect(url) as other:
        other.read("-")
        begun = time.perf_counter()
        os.kill(second.pid, signal.SIGSTOP)
        other.read("-")
        row(f"takeover of a stopped owner, {rows:,} rows", f"{time.perf_counter() - begun:.2f} s", "< 4 s")
    begun = time.perf_counter()
    with eventresults.connect(url) as restarted:
        restarted.read("-")
        row("restart to serving (without the interpreter's start)", f"{time.perf_counter() - begun:.2f} s", "< 1 s")


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharing", description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks of three events each in the view")
    options = parser.parse_args()
    for name, value in machine_facts().items():
        print(f"{name:<16} {value}")
    print()
    with tempfile.TemporaryDirectory(prefix="eventresults-bench-") as home:
        url = f"sqlite:///{Path(home)}/events.db"
        log = bootstrap.make_log(load_settings(url))
        fill(log, facts(options.tasks))
        log.close()
        with owner(url) as process:
            tracker = eventresults.connect(url, own="never")
            ids = [meta.task_id for meta in tracker.tasks(state="SUCCESS", limit=2_000)]
            reads(tracker, ids)
            notifications(tracker, url, 1_000, 20_000, 5_000)
            watching(tracker, 100_000)
            tracker.close()
            tracker = eventresults.connect(url)
            tracker.read("-")
            takeovers(url, tracker, process, options.tasks)


if __name__ == "__main__":
    main()
