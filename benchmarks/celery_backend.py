"""`python -m benchmarks.celery_backend [--rounds N]`: Celery's Redis backend and ours, doing the same in one run, in turn.

Ours on a real Apache Kafka with either client; the view is owned by another process, as it is in production, unless a row says otherwise.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

from celery import Celery
from celery.worker import control as commands

from benchmarks.celery_redis import redis_server
from benchmarks.machine import facts as machine_facts
from benchmarks.pace import rate, rate_of_threads
from benchmarks.raw import asked_for_the_end, asked_for_the_end_kafka_python, waited_for_confluent, waited_for_kafka_python
from benchmarks.sharing import row
from eventresults import AsyncResult
from tests.support.kafka import KafkaCluster

Measure = Callable[[Celery], float]


def app_of(backend: str, **conf: Any) -> Celery:
    """A Celery app on this backend, its broker in memory."""
    app = Celery("bench", broker=f"memory://{uuid.uuid4().hex}", backend=backend, set_as_current=False)
    app.conf.update(conf)
    app.backend.store_result("warm-up", 1, "SUCCESS")
    app.AsyncResult("warm-up").get(timeout=60)
    return app


def store(app: Celery) -> float:
    """`store_result` a second, by one thread."""
    return rate(lambda _: app.backend.store_result(uuid.uuid4().hex, {"rows": 1}, "SUCCESS"), 1_000)


def store_by_sixteen(app: Celery) -> float:
    """`store_result` a second, by sixteen threads."""
    return rate_of_threads(lambda _: app.backend.store_result(uuid.uuid4().hex, {"rows": 1}, "SUCCESS"), 200, 16)


def store_to_get(app: Celery) -> float:
    """Median milliseconds from a store to the return of a `get` that waits in another thread."""
    late: list[float] = []

    def waits(task_id: str, waiting: threading.Event) -> None:
        result = app.AsyncResult(task_id)
        result.then(lambda _: None)
        waiting.set()
        began = float(result.get(timeout=30))
        late.append(time.perf_counter() - began)

    for _ in range(200):
        task_id, waiting = uuid.uuid4().hex, threading.Event()
        thread = threading.Thread(target=waits, args=(task_id, waiting))
        thread.start()
        waiting.wait(30)
        time.sleep(0.002)  # until it is in get()
        app.backend.store_result(task_id, time.perf_counter(), "SUCCESS")
        thread.join()
    return statistics.median(late) * 1e3


def states(app: Celery) -> float:
    """`AsyncResult(id).state` of finished tasks a second."""
    ids = _stored(app, 500)
    return rate(lambda number: app.AsyncResult(ids[number % len(ids)]).state, 3_000)


def states_of_ours(app: Celery) -> float:
    """The same by `eventresults.AsyncResult`, where that reads the backend (Celery's own otherwise)."""
    ids = _stored(app, 500)
    made: Callable[[str], Any] = partial(AsyncResult, app=app) if hasattr(app.backend, "tracker") else app.AsyncResult
    return rate(lambda number: made(ids[number % len(ids)]).state, 3_000)


def unfinished(app: Celery) -> float:
    """The same of an unfinished task."""
    app.backend.store_result("unfinished", {"done": 1}, "PROGRESS")
    return rate(lambda _: app.AsyncResult("unfinished").state, 1_000)


def group_of_ten_thousand(app: Celery) -> float:
    """Seconds to make a group of 10,000 finished tasks and to `get()` it."""
    ids = _stored(app, 10_000)
    begun = time.perf_counter()
    group = app.GroupResult(uuid.uuid4().hex, [app.AsyncResult(one) for one in ids])
    assert len(group.get(timeout=120)) == len(ids)
    return time.perf_counter() - begun


def delay(app: Celery) -> float:
    """Median microseconds of `delay()` to a broker in memory."""
    task = app.task(_nothing, name="nothing", shared=False)
    task.delay()
    took = []
    for _ in range(500):
        begun = time.perf_counter()
        task.delay()
        took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1e6


def revoke(app: Celery) -> float:
    """Seconds for which the command to revoke 1,000 unknown ids holds a worker's main loop."""
    if hasattr(app.backend, "tracker") and app.backend.revokes is None:
        app.backend.obey_revokes(SimpleNamespace(app=app, hub=None))
    ids = [uuid.uuid4().hex for _ in range(1_000)]
    app.control.revoke(ids)
    begun = time.perf_counter()
    commands.revoke(SimpleNamespace(app=app), ids)
    return time.perf_counter() - begun


def _nothing() -> None:
    """What a task does whose sending is measured."""


def _stored(app: Celery, count: int) -> list[str]:
    key = ("stored", count)
    known: dict[Any, list[str]] = app.__dict__.setdefault("bench", {})
    if key not in known:
        known[key] = [uuid.uuid4().hex for _ in range(count)]
        ids = iter(known[key])

        def some() -> None:
            for task_id in ids_of(ids):
                app.backend.store_result(task_id, 1, "SUCCESS")

        threads = [threading.Thread(target=some) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        app.AsyncResult(known[key][-1]).get(timeout=60)
    return known[key]


_taking = threading.Lock()


def ids_of(source: Iterator[str]) -> Iterator[str]:
    """One iterator for many threads."""
    while True:
        with _taking:
            task_id = next(source, None)
        if task_id is None:
            return
        yield task_id


ROWS: dict[str, tuple[Measure, str, str]] = {
    "store_result, one thread": (store, "{:,.0f} /s", "[confluent] ≥ 1 × Redis"),
    "store_result, sixteen threads": (store_by_sixteen, "{:,.0f} /s", "[confluent] ≥ 3 × Redis from one"),
    "store → get, p50": (store_to_get, "{:.2f} ms", "[confluent] ≤ 1.5 × Redis"),
    "AsyncResult(id).state, finished": (states, "{:,.0f} /s", "≥ 1 × Redis; in the owner ≥ 10 ×"),
    "eventresults.AsyncResult(id, app=app).state, finished": (states_of_ours, "{:,.0f} /s", "≥ 1 × Redis; in the owner ≥ 10 ×"),
    "AsyncResult(id).state, unfinished": (unfinished, "{:,.0f} /s", "time ≤ 1.3 × (raw question + a finished one's)"),
    "get() of a group of 10,000": (group_of_ten_thousand, "{:.2f} s", "< Redis"),
    "delay(), memory broker, p50": (delay, "{:,.0f} µs", "sent: < 100 µs more"),
    "a command that revokes 1,000 ids": (revoke, "{:.2f} s", "≤ Redis"),
}


@contextmanager
def apps() -> Iterator[dict[str, Celery]]:
    """The peers, ready; and what the raw clients do, by `raw …`."""
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server())
        kafka = stack.enter_context(KafkaCluster(jvm_options=()))
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="eventresults-bench-"))
        settings = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "16777216"}
        peers = {} if redis is None else {"redis": app_of(redis, result_cache_max=-1)}
        for client in ("confluent", "kafka-python"):
            for name, own in ((client, "spawn"), (f"{client}, owner", "auto")):
                topic = f"bench-{client}-{own}"
                kafka.create_topic(topic, 1, settings)
                view = os.path.join(home, topic)  # noqa: PTH118 - a text
                url = f"eventresults+{kafka.url(topic)}?client={client}&own={own}&view={view}"
                peers[name] = app_of(url, result_cache_max=-1)
        view = os.path.join(home, "bench-confluent-spawn")  # noqa: PTH118
        url = f"eventresults+{kafka.url('bench-confluent-spawn')}?client=confluent&observe=false&view={view}"
        peers["confluent, observe=false"] = app_of(url, result_cache_max=-1)
        for app in peers.values():  # a JVM takes some thousand requests to get going
            store(app)
        kafka.create_topic("raw", 1, settings)
        for name, waited_for in (("confluent", waited_for_confluent), ("kafka-python", waited_for_kafka_python)):
            median = statistics.median(waited_for(kafka.bootstrap, "raw", 1_000) for _ in range(3))
            row(f"raw {name}: append, waited for, one thread", f"{median:,.0f} /s")
        for name, asked in (("confluent", asked_for_the_end), ("kafka-python", asked_for_the_end_kafka_python)):
            row(f"raw {name}: where does the partition end", f"{asked(kafka.bootstrap, 'raw', 1_000):,.0f} µs")
        for app in peers.values():
            if hasattr(app.backend, "tracker"):
                stack.callback(app.backend.tracker.close)
        yield peers


def main() -> None:
    """Measure, in turn, and print medians and their ratio to Redis."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.celery_backend", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for name, value in machine_facts().items():
        print(f"{name:<16} {value}")
    print()
    with apps() as peers:
        for what, (measure, form, goal) in ROWS.items():
            figures: dict[str, list[float]] = {name: [] for name in peers}
            for _ in range(options.rounds):
                for name, app in peers.items():
                    figures[name].append(measure(app))
            medians = {name: statistics.median(one) for name, one in figures.items()}
            print(f"\n{what}  (goal: {goal})")
            for name, median in medians.items():
                ratio = f"{median / medians['redis']:.2f} × Redis" if "redis" in medians else ""
                row(f"  {name}", form.format(median), ratio)


if __name__ == "__main__":
    main()
