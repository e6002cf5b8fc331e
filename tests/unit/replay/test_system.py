"""All tasks at a moment: the view and the log tell the same, and whoever tells it is named."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime

import pytest

from eventresults.domain.position import Position
from eventresults.errors import PastGone
from eventresults.log.memory import MemoryLog
from eventresults.past import as_of
from eventresults.projector import Lifetimes
from eventresults.replay.system import SystemTravel
from eventresults.view.memory import MemoryStore
from tests.support.events import LOG_EPOCH
from tests.support.views import FakeClock, viewing
from tests.unit.past.test_task import Archive

DAY = 86_400_000
IDS = [f"t{number}" for number in range(12)]


def at(milliseconds):
    return datetime.fromtimestamp((LOG_EPOCH + milliseconds) / 1000, UTC)


class World:
    """Two partitions, a clock that the test moves, and a view that keeps what is over for a day."""

    def __init__(self, log, view, recorder, clock):
        self.log, self.view, self.recorder, self.clock = log, view, recorder, clock
        self.travel = SystemTravel(
            view, log, lifetimes=Lifetimes(history=DAY), make_store=lambda _: MemoryStore(), scratch=tempfile.TemporaryDirectory
        )

    def tick(self, milliseconds=1):
        self.clock.now += milliseconds
        return self.recorder


@pytest.fixture
def world():
    clock = FakeClock()
    log = MemoryLog(partitions=2, clock=clock)
    with viewing(log, lifetimes=Lifetimes(history=DAY), clock=clock) as (view, recorder):
        yield World(log, view, recorder, clock)
    log.close()


@pytest.fixture
def lives(world):
    """Twelve lives, a fact each millisecond: sent, started, and then each third ends its way; some are forgotten and begin again."""
    for one in IDS:
        world.tick().sent(one, name="even" if int(one[1:]) % 2 == 0 else "odd")
    for one in IDS:
        world.tick().started(one)
    for one in IDS[::3]:
        world.tick().succeeded(one, result=1, result_expires=86_400)
    for one in IDS[1::3]:
        world.tick().failed(one, error=ValueError("no"), result_expires=86_400)
    for one in IDS[:4]:
        world.tick().forgotten(one)
    for one in IDS[:2]:
        world.tick().sent(one, name="again")
    world.recorder.flush(5)
    return world


def brute(world, when):
    """Each task by itself."""
    metas = [as_of(world.view.history(one), when) for one in IDS]
    return {meta.task_id: meta for meta in metas if meta is not None}


def test_at_every_moment_the_view_the_log_and_each_task_tell_the_same(lives):
    for millisecond in range(0, lives.clock.now - LOG_EPOCH + 2, 3):
        when = at(millisecond)
        expected = brute(lives, when)

        found = lives.travel.state(when)
        lives.travel._surveyed = Forgetful(lives.view)
        from_log = lives.travel.state(when)
        lives.travel._surveyed = lives.view

        assert (found.source, from_log.source) == ("view", "log")
        assert {meta.task_id: meta for meta in found.items} == expected
        assert {meta.task_id: (meta.state, meta.facts) for meta in from_log.items} == {
            one: (meta.state, meta.facts) for one, meta in expected.items()
        }
        assert found.counts == from_log.counts
        assert found.total == len(expected)


class Forgetful:
    """A view that no longer holds what is asked of."""

    def __init__(self, view):
        self._view = view

    def recent(self, **query):
        return self._view.recent(**query)

    def ask(self, what, timeout, **arguments):
        found = self._view.ask(what, timeout, **arguments)
        return dict.fromkeys(found) if what == "survey" else found


def test_positions_cut_each_partition_at_its_own(lives):
    info = lives.log.info(5)
    found = lives.travel.state({partition: end - 1 for partition, end in info.ends.items()})
    assert found.counts == lives.travel.state(at(10_000)).counts
    assert lives.travel.state(dict.fromkeys(info.starts, -1)).total == 0


def test_state_and_name_narrow_the_counts_and_the_list(lives):
    found = lives.travel.state(at(24), state="STARTED", name="odd")
    assert found.counts == {"STARTED": 6}
    assert {meta.name for meta in found.items} == {"odd"}


def test_the_newest_come_first_and_all_are_counted(lives):
    found = lives.travel.state(at(12), limit=3)
    assert ([meta.task_id for meta in found.items], found.total) == (["t11", "t10", "t9"], 12)


def test_what_the_sweep_may_have_taken_the_log_tells(lives):
    lives.clock.now += 10 * DAY
    for number in range(30):
        lives.tick().sent(f"new{number}")
    lives.recorder.flush(5)

    found = lives.travel.state(at(25))

    assert (found.source, found.counts) == ("log", {"STARTED": 11, "SUCCESS": 1})


def test_what_retention_took_is_folded_from_the_archive(lives):
    # given
    archive, before = Archive(lives.log), lives.travel.state(at(20))
    for partition, end in lives.log.info(5).ends.items():
        lives.log.delete_before(Position(partition, end - 2))

    # when
    travel = SystemTravel(
        Forgetful(lives.view), lives.log, lifetimes=Lifetimes(history=DAY), make_store=lambda _: MemoryStore(), older=lambda: archive
    )
    found = travel.state(at(20))

    # then
    assert (before.source, found.source) == ("view", "archive")
    assert found.counts == before.counts


def test_a_moment_that_retention_took_is_an_error(lives):
    for partition, end in lives.log.info(5).ends.items():
        lives.log.delete_before(Position(partition, end - 2))

    with pytest.raises(PastGone, match="the log .* begins at"):
        lives.travel.state(at(1))
    with pytest.raises(PastGone):
        lives.travel.state({0: 0, 1: 0})


@pytest.mark.parametrize(("when", "says"), [({0: 1}, "each of the 2 partitions"), (datetime(2026, 1, 1), "time zone")])  # noqa: DTZ001
def test_a_moment_must_be_one_of_all_partitions(world, when, says):
    with pytest.raises(ValueError, match=says):
        world.travel.state(when)
