"""From the append of a finishing fact to the callback of who waits for it, at a steady pace, beside a raw append and its being read."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

import eventresults
from benchmarks import raw
from benchmarks.bench import Bench, folder
from benchmarks.pace import paced
from eventresults import AsyncResult

PATIENCE_SECONDS = 60.0
SLOW, FAST = 1_000, 50_000
#: How many seconds of each pace; the first tenth is not counted. At the slow one as many that one hiccup of a broker is no hundredth.
LASTS = {SLOW: 5.0, FAST: 2.0}
#: A broker that has handled many large requests may still be slow with its first small ones.
WARM_UP_SECONDS = 2.0


def latency(bench: Bench) -> Iterator[tuple[str, float]]:
    """Through a real Kafka, recorder, projector and callback in this process, over either client."""
    raw.latency_confluent(bench.kafka.bootstrap, bench.topic(), SLOW, WARM_UP_SECONDS)
    for client in ("confluent", "kafka-python"):
        late, _ = callbacks(bench.url(bench.topic(), client), SLOW)
        alone = raw.latency_confluent(bench.kafka.bootstrap, bench.topic(), SLOW, LASTS[SLOW]) if client == "confluent" else None
        yield f"append → callback at 1,000/s, {client}, p50 ms", quantile(late, 0.5)
        yield f"append → callback at 1,000/s, {client}, p99 ms", quantile(late, 0.99)
        if alone is not None:
            yield "raw append → read at 1,000/s, confluent, p50 ms", quantile(alone, 0.5)
            yield "raw append → read at 1,000/s, confluent, p99 ms", quantile(alone, 0.99)
            yield "append → callback at 1,000/s, confluent, p50 ÷ raw append → read", quantile(late, 0.5) / quantile(alone, 0.5)
    late, rate = callbacks(bench.url(bench.topic(), "confluent"), FAST)
    yield "append → callback at 50,000/s, confluent, p50 ms", quantile(late, 0.5)
    yield "append → callback at 50,000/s, confluent, p99 ms", quantile(late, 0.99)
    yield "append → callback at 50,000/s, confluent, appends/s that were had", rate
    late, rate = callbacks_of_another(bench.url(bench.topic(), "confluent"), FAST)
    yield "append in another process → callback at 50,000/s, confluent, p50 ms", quantile(late, 0.5)
    yield "append in another process → callback at 50,000/s, confluent, p99 ms", quantile(late, 0.99)
    yield "append in another process → callback at 50,000/s, confluent, appends/s that were had", rate


def latency_embedded(_: Bench) -> Iterator[tuple[str, float]]:
    """Through a SQLite file."""
    with folder() as home:
        late, _rate = callbacks(f"sqlite:///{home}/events.db", SLOW)
    yield "append → callback at 1,000/s, SQLite, p50 ms", quantile(late, 0.5)
    yield "append → callback at 1,000/s, SQLite, p99 ms", quantile(late, 0.99)


def callbacks(url: str, per_second: int) -> tuple[list[float], float]:
    """Seconds from each append to its callback, in the order of the appends, and how many appends a second there were."""
    count = int(per_second * LASTS[per_second])
    with folder() as home, eventresults.connect(url, view=str(home / "view")) as tracker:
        recorder = tracker.recorder(worker="bench")
        recorder.succeeded("warm-up").result(timeout=PATIENCE_SECONDS)
        assert tracker.read("warm-up") is not None
        appended, called = [0.0] * count, [0.0] * count
        left = threading.Semaphore(0)

        def waits(number: int) -> AsyncResult:
            def note(_: AsyncResult) -> None:
                called[number] = time.perf_counter()
                left.release()

            result = AsyncResult(f"paced-{number}", app=tracker)
            result.then(note)
            return result

        waiting = [waits(number) for number in range(count)]
        begun = time.perf_counter()
        for number in paced(per_second, count):
            appended[number] = time.perf_counter()
            recorder.succeeded(f"paced-{number}", result=number)
        rate = count / (time.perf_counter() - begun)
        for _ in waiting:
            assert left.acquire(timeout=PATIENCE_SECONDS)
        return [after - before for before, after in zip(appended, called, strict=True)], rate


#: Appends at a pace once it is told to; each fact's result is when that was, by a clock that all processes of a host share.
WRITER = """
import sys, time
import eventresults
from benchmarks.pace import paced
url, per_second, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with eventresults.connect(url) as tracker:
    recorder = tracker.recorder(worker="bench")
    recorder.succeeded("warm-up of the writer").result(timeout=60)
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.perf_counter()
    for number in paced(per_second, count):
        recorder.succeeded(f"paced-{number}", result=time.perf_counter())
    print(count / (time.perf_counter() - begun), flush=True)
"""


def callbacks_of_another(url: str, per_second: int) -> tuple[list[float], float]:
    """As `callbacks`, but what is waited for here is appended by another process."""
    count = int(per_second * LASTS[per_second])
    late: list[float] = []
    called = threading.Semaphore(0)

    def note(result: AsyncResult) -> None:
        meta = result.task_meta()
        assert meta is not None
        late.append(time.perf_counter() - meta.result)
        called.release()

    with folder() as home, eventresults.connect(url, view=str(home / "view")) as tracker:
        assert tracker.read("no such task") is None
        for number in range(count):
            AsyncResult(f"paced-{number}", app=tracker).then(note)
        command = [sys.executable, "-c", WRITER, url, str(per_second), str(count)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdin is not None
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            print("go", file=writer.stdin, flush=True)
            rate = float(writer.stdout.readline())
            for _ in range(count):
                assert called.acquire(timeout=PATIENCE_SECONDS)
        return late, rate


def quantile(late: Sequence[float], part: float) -> float:
    """In milliseconds, the first tenth left out."""
    counted = sorted(late[len(late) // 10 :])
    return counted[int(len(counted) * part)] * 1e3
