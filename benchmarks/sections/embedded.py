"""Folding and reading in one process that owns its view, on a SQLite log: no broker, no other process."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import eventresults
from benchmarks.bench import Bench, folder
from benchmarks.celery_redis import celery_on_redis
from benchmarks.work import facts, fill
from eventresults import AsyncResult, bootstrap
from eventresults.cli.entry import relax_collector
from eventresults.config import load_settings

PATIENCE_SECONDS = 600.0
READ = 20_000
#: Celery's reads are slower, and need no more.
READ_BY_CELERY = 3_000


def embedded(bench: Bench) -> Iterator[tuple[str, float]]:
    """A fresh log, its first view, and the reads that need no one else."""
    with folder() as home:
        url = f"sqlite:///{home}/events.db"
        log = bootstrap.make_log(load_settings(url))
        fill(log, facts(bench.tasks))
        log.close()
        with collecting_seldom():
            yield "fold from SQLite, events/s", fold(url, home, 3 * bench.tasks)
        with eventresults.connect(url, view=str(home / "view"), read_timeout=PATIENCE_SECONDS) as tracker:
            with collecting_seldom():
                yield "rebuild of a view, events/s", rebuild(tracker, 3 * bench.tasks)
            finished = {meta.task_id: meta.result for meta in tracker.tasks(state="SUCCESS", limit=min(bench.tasks, READ))}
            ids = list(finished)
            ours = states(tracker, ids)
            yield "state of a finished task, in the owner, /s", ours
            yield "exists() of unknown ids, freshness applied, /s", unknown(tracker, READ)
            with celery_on_redis({task_id: finished[task_id] for task_id in ids[:READ_BY_CELERY]}) as peer:
                if peer is not None:
                    begun = time.perf_counter()
                    for task_id in ids[:READ_BY_CELERY]:
                        assert peer.AsyncResult(task_id).state == "SUCCESS"
                    theirs = len(ids[:READ_BY_CELERY]) / (time.perf_counter() - begun)
                    yield "state of a finished task, Celery + Redis, /s", theirs
                    yield "state of a finished task, in the owner ÷ Celery + Redis", ours / theirs


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """As in the processes of `eventresults serve` and `eventresults view rebuild`, and in those that fold from Kafka here."""
    before = gc.get_threshold()
    relax_collector()
    try:
        yield
    finally:
        gc.set_threshold(*before)


def fold(url: str, home: Path, events: int) -> float:
    """Events folded per second: from an empty view on disk to one that has folded the whole log, opening it included."""
    with eventresults.connect(url, view=str(home / "view"), read_timeout=PATIENCE_SECONDS) as tracker:
        begun = time.perf_counter()
        assert tracker.read("no such task") is None
        seconds = time.perf_counter() - begun
        assert sum(p["position"] for p in tracker.view_stats()["partitions"]) >= events
    return events / seconds


def rebuild(tracker: eventresults.Tracker, events: int) -> float:
    """Events folded per second into another generation of the view."""
    begun = time.perf_counter()
    tracker.rebuild()
    assert tracker.read("no such task") is None
    return events / (time.perf_counter() - begun)


def states(tracker: eventresults.Tracker, ids: Sequence[str]) -> float:
    """`AsyncResult(id).state` per second, a new object each time."""
    begun = time.perf_counter()
    for task_id in ids:
        assert AsyncResult(task_id, app=tracker).state == "SUCCESS"
    return len(ids) / (time.perf_counter() - begun)


def unknown(tracker: eventresults.Tracker, count: int) -> float:
    """`read(freshness="applied")` of ids that no fact has named, per second."""
    begun = time.perf_counter()
    for number in range(count):
        assert tracker.read(f"unknown-{number}", freshness="applied") is None
    return count / (time.perf_counter() - begun)
