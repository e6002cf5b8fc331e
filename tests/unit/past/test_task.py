"""Who answers what was known of a task: the view where it still holds all of it, else the log, else nobody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eventresults.domain.position import Position
from eventresults.errors import PastGone
from eventresults.log.base import Poll
from eventresults.log.memory import MemoryLog
from eventresults.log.stretch import Stretch, read
from eventresults.past import TimeTravel
from eventresults.projector import Lifetimes
from tests.support.events import LOG_EPOCH
from tests.support.views import FakeClock, viewing

DAY = 86_400_000


def at(days):
    """So many days after the log began."""
    return datetime.fromtimestamp(LOG_EPOCH / 1000, UTC) + timedelta(days=days)


class World:
    """A log whose days pass as the test says, and a view that keeps what is over for a day."""

    def __init__(self, log, view, recorder, clock):
        self.log, self.view, self.recorder, self._clock = log, view, recorder, clock
        self.travel = TimeTravel(view, log, complete_since=self._complete_since)

    def _complete_since(self, partition):
        return {one["partition"]: one["complete_since"] for one in self.view.ask("stats", 5)["partitions"]}[partition]

    def on_day(self, day):
        self._clock.now = LOG_EPOCH + day * DAY
        return self.recorder

    def ask(self, task_id, when):
        found = self.travel.task(task_id, when)
        return found.source, found.meta and found.meta.state, found.partial


@pytest.fixture
def world():
    clock = FakeClock()
    log = MemoryLog(partitions=1, clock=clock)
    with viewing(log, lifetimes=Lifetimes(history=DAY), clock=clock) as (view, recorder):
        yield World(log, view, recorder, clock)
    log.close()


@pytest.fixture
def swept(world):
    """A task of day 0 that succeeded on day 1 for a day, whose row and history the sweep has taken; and, on day 9, another one."""
    world.on_day(0).sent("old", name="add")
    world.on_day(1).succeeded("old", result=1, result_expires=86_400)
    for day in range(4, 10):  # each poll sweeps
        world.on_day(day).sent("new", name="add").result(5)
        world.view.get("new")
    assert world.view.history("old") == []
    return world


def test_what_the_view_still_holds_it_answers(world):
    world.on_day(0).sent("t")
    world.on_day(1).succeeded("t", result=1, result_expires=0).result(5)

    assert world.ask("t", at(0)) == ("view", "PENDING", False)
    assert world.ask("t", at(1)) == ("view", "SUCCESS", False)
    assert world.ask("t", Position(0, 0)) == ("view", "PENDING", False)


def test_before_its_first_fact_the_view_is_sure_that_nothing_was(world):
    world.on_day(1).sent("t").result(5)

    assert world.ask("t", at(0.5)) == ("view", None, False)
    assert world.ask("never", at(1)) == ("view", None, False)


def test_what_the_sweep_took_the_log_answers(swept):
    assert swept.ask("old", at(0)) == ("log", "PENDING", False)
    assert swept.ask("old", at(1.5)) == ("log", "SUCCESS", False)
    assert swept.ask("old", Position(0, 0)) == ("log", "PENDING", False)
    assert swept.ask("old", Position(0, 1)) == ("log", "SUCCESS", False)


def test_what_had_expired_by_then_the_log_does_not_show(swept):
    assert swept.ask("old", at(2.5)) == ("log", None, False)


def test_a_life_before_the_one_that_the_view_holds_is_found_in_the_log(swept):
    swept.on_day(9).sent("old", name="again").result(5)

    assert swept.ask("old", at(1)) == ("log", "SUCCESS", False)
    assert swept.ask("old", at(9)) == ("view", "PENDING", False)


def test_a_moment_that_retention_took_is_an_error_that_says_where_the_log_begins(swept):
    swept.log.delete_before(Position(0, 2))

    for when in (at(1), Position(0, 1)):
        with pytest.raises(PastGone, match="begins at 0:2") as caught:
            swept.travel.task("old", when)
        assert (caught.value.start, caught.value.begins) == ("0:2", "2026-01-05T00:00:00.000Z")


def test_an_unknown_task_of_late_is_not_looked_for_in_a_log_that_retention_shortened(swept, monkeypatch):
    swept.log.delete_before(Position(0, 2))
    monkeypatch.setattr(TimeTravel, "_from_log", None)

    assert swept.ask("never", at(9)) == ("view", None, False)


def test_a_life_that_began_before_the_log_does_is_told_in_part(swept):
    swept.log.delete_before(Position(0, 1))

    assert swept.ask("old", at(1)) == ("log", "SUCCESS", True)


def test_what_retention_took_the_view_may_hold_all_the_same(world):
    world.on_day(0).sent("t")
    world.on_day(1).started("t").result(5)
    world.view.get("t")
    world.log.delete_before(Position(0, 1))

    assert world.ask("t", at(0)) == ("view", "PENDING", False)


def test_a_log_that_retention_emptied_says_so(world):
    world.on_day(0).sent("t").result(5)
    world.log.delete_before(Position(0, 1))

    with pytest.raises(PastGone, match="is empty"):
        world.travel.task("other", at(0))


def test_a_position_of_another_partition_is_refused_also_for_an_unknown_id(world):
    world.on_day(0).sent("t").result(5)

    for task_id in ("t", "never"):
        with pytest.raises(ValueError, match="partition 0"):
            world.travel.task(task_id, Position(1, 0))


def test_a_time_needs_a_zone(world):
    with pytest.raises(ValueError, match="time zone"):
        world.travel.task("t", datetime(2026, 1, 1))  # noqa: DTZ001


# With an archive


class Archive:
    """All that the log ever held, as an archive has it."""

    url = "archive"

    def __init__(self, log):
        self._records = {p: list(read_all(log, p)) for p in log.info(5).starts}
        self._info = log.info(5)

    def info(self, timeout):
        ends = {p: records[-1].offset + 1 if records else 0 for p, records in self._records.items()}
        return self._info._replace(starts=dict.fromkeys(ends, 0), ends=ends)

    def read(self, position, timeout):
        return next((one for one in self._records[position.partition] if one.offset == position.offset), None)

    def reader(self, positions):
        return Reading({p: [one for one in self._records[p] if one.offset >= offset] for p, offset in positions.items()})


class Reading:
    def __init__(self, records):
        self._records = records

    def poll(self, timeout):
        records, self._records = self._records, {}
        return {p: Poll(found, found[-1].offset + 1) for p, found in records.items() if found}

    def wake(self):
        pass

    def close(self):
        pass


def read_all(log, partition):
    info = log.info(5)
    return (one.record for one in read(log, Stretch({partition: info.starts[partition]}, {partition: info.ends[partition]})))


def test_what_retention_took_is_told_from_the_archive(swept):
    archive = Archive(swept.log)
    swept.log.delete_before(Position(0, 3))
    swept.travel = TimeTravel(swept.view, swept.log, complete_since=swept._complete_since, older=lambda: archive)

    assert swept.ask("old", at(0)) == ("archive", "PENDING", False)
    assert swept.ask("old", at(1.5)) == ("archive", "SUCCESS", False)
    assert swept.ask("old", Position(0, 0)) == ("archive", "PENDING", False)
    assert swept.ask("new", at(9)) == ("view", "PENDING", False)
    assert swept.ask("never", at(0)) == ("archive", None, False)


def test_an_archive_is_not_opened_while_the_log_has_all(swept):
    def open_archive():
        raise AssertionError

    swept.travel = TimeTravel(swept.view, swept.log, complete_since=swept._complete_since, older=open_archive)
    assert swept.ask("old", at(1.5)) == ("log", "SUCCESS", False)


def test_a_view_that_is_younger_than_the_logs_start_does_not_speak_for_what_was_before(world):
    # given: the view is made only when retention has come by
    world.on_day(0).sent("old").result(5)
    archive = Archive(world.log)
    world.on_day(1).sent("new").result(5)
    world.log.delete_before(Position(0, 1))

    # when
    world.travel = TimeTravel(world.view, world.log, complete_since=world._complete_since, older=lambda: archive)

    # then
    assert world.ask("old", at(0.5)) == ("archive", "PENDING", False)
