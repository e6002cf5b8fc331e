"""What a recorder appends a second, acknowledgements awaited at the end, beside the client library given ready bytes."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import eventresults
from benchmarks import raw
from benchmarks.bench import Bench, folder
from benchmarks.work import facts

RAW = {"confluent": raw.append_confluent, "kafka-python": raw.append_kafka_python}


def appending(bench: Bench) -> Iterator[tuple[str, float]]:
    """A third of the work, to fresh topics of one partition."""
    tasks = bench.tasks // 3
    records = bench.records[: 3 * tasks]
    for client, alone in RAW.items():
        theirs, theirs_per_cpu = alone(bench.kafka.bootstrap, bench.topic(), records)
        ours, per_cpu = record(bench.url(bench.topic(), client), tasks)
        yield f"append, {client}, events/s", ours
        yield f"append, {client}, events per CPU second", per_cpu
        yield f"append, raw {client}, records/s", theirs
        yield f"append, {client} ÷ raw {client}", ours / theirs
        yield f"append, {client} ÷ raw {client}, per CPU second", per_cpu / theirs_per_cpu


def appending_embedded(bench: Bench) -> Iterator[tuple[str, float]]:
    """The same to a SQLite file."""
    with folder() as home:
        rate, per_cpu = record(f"sqlite:///{home}/events.db", bench.tasks // 3)
    yield "append, SQLite, events/s", rate
    yield "append, SQLite, events per CPU second", per_cpu


def record(url: str, tasks: int) -> tuple[float, float]:
    """Facts recorded per second of the clock, and of this process's processor time; acknowledgements awaited at the end."""
    with eventresults.connect(url) as tracker:
        recorder = tracker.recorder(worker="bench")
        recorder.sent("warm-up").result(timeout=30)
        work = [(fact.task_id, fact.kind, fact.fields) for fact in facts(tasks)]
        gc.freeze()  # what is to be recorded was there before: to look through it is no cost of recording
        begun, begun_cpu = time.perf_counter(), time.process_time()
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
        wall, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
        gc.unfreeze()
        return len(work) / wall, len(work) / cpu
