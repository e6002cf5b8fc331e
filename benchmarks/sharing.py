"""`python -m benchmarks.sharing [--tasks N] [--rounds N]`: a view owned by one process and read by another, over the Unix socket.

Beside each figure stands its goal; the unit of the first ones is what Celery's `AsyncResult(id).state` gets from Redis, measured in
the same run and in turn with ours.
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
from collections.abc import Callable
from pathlib import Path

from celery import Celery

import eventresults
from benchmarks.celery_redis import celery_on_redis
from benchmarks.machine import facts as machine_facts
from benchmarks.owner import owner
from benchmarks.pace import rate, rate_of_threads
from benchmarks.work import facts, fill
from eventresults import bootstrap
from eventresults.config import load_settings
from eventresults.view.base import Change

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


def reads(tracker: eventresults.Tracker, ids: list[str], peer: Celery | None, rounds: int) -> None:
    """Reads of finished tasks by one thread, by sixteen, and in batches; ours and Celery's in turn, `rounds` times."""

    def state(number: int) -> None:
        assert tracker.AsyncResult(ids[number % len(ids)]).state == "SUCCESS"

    def state_of_celery(number: int) -> None:
        assert peer is not None
        assert peer.AsyncResult(ids[number % len(ids)]).state == "SUCCESS"

    batch = ids[:1_000]
    measures: dict[str, Callable[[], float]] = {
        "one": lambda: rate(state, 5_000),
        "sixteen": lambda: rate_of_threads(state, 1_000, 16),
        "many": lambda: rate(lambda _: tracker.read_many(batch), 30) * len(batch),
    }
    if peer is not None:
        measures["their one"] = lambda: rate(state_of_celery, 5_000)
        measures["their sixteen"] = lambda: rate_of_threads(state_of_celery, 500, 16)
    else:
        print("no redis-server is installed (Debian: apt install redis-server): Celery is not measured, and there are no ratios\n")
    figures: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            figures[name].append(measure())
    medians = {name: statistics.median(rates) for name, rates in figures.items()}

    def ratios(name: str, least: int) -> str:
        """To Celery from one thread, which is the goal's unit; and from as many threads."""
        if peer is None:
            return f"≥ {least} × Celery's from one thread"
        to_one = [ours / theirs for ours, theirs in zip(figures[name], figures["their one"], strict=True)]
        return f"{statistics.median(to_one):.2f} × Celery's from one thread ({min(to_one):.2f} to {max(to_one):.2f}), ≥ {least}"

    if peer is not None:
        row("Celery on Redis, AsyncResult(id).state, one thread", f"{medians['their one']:,.0f} /s")
        row("… sixteen threads", f"{medians['their sixteen']:,.0f} /s")
    row("AsyncResult(id).state, one thread", f"{medians['one']:,.0f} /s", ratios("one", 1))
    row("… sixteen threads", f"{medians['sixteen']:,.0f} /s", ratios("sixteen", 3))
    if peer is not None:
        row("", f"{medians['sixteen'] / medians['their sixteen']:.2f} ×", "Celery's from sixteen threads")
    row("read_many of 1,000", f"{medians['many']:,.0f} /s", ratios("many", 10))


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
    parser.add_argument("--rounds", type=int, default=5)
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
            finished = {meta.task_id: meta.result for meta in tracker.tasks(state="SUCCESS", limit=2_000)}
            with celery_on_redis(finished) as peer:
                reads(tracker, list(finished), peer, options.rounds)
            notifications(tracker, url, 1_000, 20_000, 5_000)
            watching(tracker, 100_000)
            tracker.close()
            tracker = eventresults.connect(url)
            tracker.read("-")
            takeovers(url, tracker, process, options.tasks)


if __name__ == "__main__":
    main()
