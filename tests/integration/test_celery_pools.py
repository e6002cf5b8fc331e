"""The backend under every pool that Celery has: results, failures, groups and chords, and who owns the view meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.celeryfarm import DEADLINE, Farm

pytest.importorskip("celery")

from celery import chord, group


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path, "tests.support.celeryapp", f"eventresults+sqlite:///{tmp_path}/events.db", connect_timeout=DEADLINE)


@pytest.fixture
def tasks(farm: Farm) -> Iterator[Any]:
    with farm.client() as tasks:
        yield tasks


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "gevent", "eventlet"])
def test_every_pool_returns_what_its_tasks_return(pool: str, farm: Farm, tasks: Any):
    with farm.worker(pool=pool) as worker:
        # when
        one = tasks.add.delay(1, 2)
        many = group(tasks.add.s(number, number) for number in range(10))()
        joined = chord([tasks.add.s(number, number) for number in range(5)])(tasks.total.s())
        failed = tasks.fail.delay()

        # then
        assert one.get(timeout=DEADLINE) == 3
        assert many.get(timeout=DEADLINE) == [2 * number for number in range(10)]
        assert joined.get(timeout=DEADLINE) == 20
        with pytest.raises(ValueError, match="broken"):
            failed.get(timeout=DEADLINE)

        # and neither this process nor the worker owns the view
        owner = tasks.app.backend.tracker.view.held.pid
        assert owner not in {os.getpid(), worker.pid}
