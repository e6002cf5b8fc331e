from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from functools import partial

from eventresults.worker.job import Call, Job, moment, name_of, new_id
from tests.support import tasks


class Doer:
    def __call__(self) -> None: ...

    def method(self) -> None: ...


def test_a_task_is_named_by_module_and_qualified_name():
    assert name_of(tasks.add) == "tests.support.tasks.add"
    assert name_of(pow) == "builtins.pow"
    assert name_of(partial(partial(tasks.add, 1), 2)) == "tests.support.tasks.add"
    assert name_of(Doer()).endswith("test_job.Doer")
    assert name_of(Doer().method).endswith("test_job.Doer.method")
    assert name_of("text".upper) == "str.upper"


def test_a_moment_is_a_time_in_utc():
    assert moment(None) is None
    assert moment(datetime(2026, 1, 1, 12)) == datetime(2026, 1, 1, 12, tzinfo=UTC)  # noqa: DTZ001 - a naive one
    assert moment(datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))) == datetime(2026, 1, 1, 10, tzinfo=UTC)
    soon = moment(60)
    assert soon is not None
    assert timedelta(seconds=58) < soon - datetime.now(UTC) <= timedelta(seconds=60)


def test_ids_are_different_and_sort_by_time():
    ids = [new_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert ids == sorted(ids)


def test_a_job_tells_when_it_is_due_and_when_it_is_too_late():
    job = Job(id="a", name="n", root_id="a", call=Call(pow, (2, 3)), eta=moment(60), expires=moment(-1))
    assert 58 < job.delay() <= 60
    assert job.expired()
    assert job.call.make() == 8
