"""Reads of a view that another process owns, beside Celery's of its Redis."""

from __future__ import annotations

from collections.abc import Iterator

import eventresults
from benchmarks.bench import Bench, folder
from benchmarks.celery_redis import celery_on_redis
from benchmarks.owner import owner
from benchmarks.pace import rate, rate_of_threads
from benchmarks.work import facts, fill
from eventresults import bootstrap
from eventresults.config import load_settings

READ, READ_BY_EACH, THREADS, BATCHES = 3_000, 500, 16, 50


def elsewhere(bench: Bench) -> Iterator[tuple[str, float]]:
    """Over the Unix socket."""
    with folder() as home:
        url = f"sqlite:///{home}/events.db"
        log = bootstrap.make_log(load_settings(url))
        fill(log, facts(bench.tasks // 5))
        log.close()
        with owner(url), eventresults.connect(url, own="never") as tracker:
            finished = {meta.task_id: meta.result for meta in tracker.tasks(state="SUCCESS", limit=2_000)}
            ids = list(finished)

            def state(number: int) -> None:
                assert tracker.AsyncResult(ids[number % len(ids)]).state == "SUCCESS"

            state(0)
            one = rate(state, READ)
            sixteen = rate_of_threads(state, READ_BY_EACH, THREADS)
            batch = ids[:1_000]
            yield "state from another process, one thread, /s", one
            yield "state from another process, 16 threads, /s", sixteen
            many = rate(lambda _: tracker.read_many(batch), BATCHES) * len(batch)
            yield "read_many of 1,000 ids from another process, ids/s", many
            with celery_on_redis(finished) as peer:
                if peer is None:
                    return

                def state_of_celery(number: int) -> None:
                    assert peer.AsyncResult(ids[number % len(ids)]).state == "SUCCESS"

                theirs = rate(state_of_celery, READ)
            yield "state from another process, one thread ÷ Celery + Redis", one / theirs
            yield "state from another process, 16 threads ÷ Celery + Redis (one thread)", sixteen / theirs
