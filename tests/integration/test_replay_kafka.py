"""The past and replays over a real Kafka, with either client."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from time import sleep

import pytest

import eventresults
from eventresults import Position
from eventresults.log.stretch import Stretch, between, exact
from eventresults.replay.retelling import NewIds
from eventresults.replay.run import run
from eventresults.replay.system import SystemTravel
from eventresults.replay.takers import Appending
from eventresults.replay.where import Where
from eventresults.view.memory import MemoryStore
from tests.support.kafka import Kafka
from tests.support.kafka.fixtures import MakeTopic
from tests.support.views import tell_life
from tests.unit.replay.test_system import Forgetful

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

IDS = [f"t{number}" for number in range(30)]


@pytest.fixture(params=["kafka-python", "confluent"])
def tracker(request: pytest.FixtureRequest, kafka: Kafka, make_topic: MakeTopic, tmp_path: Path):
    url = f"{kafka.url(make_topic(partitions=3))}?client={request.param}"
    with eventresults.connect(url, view=str(tmp_path / "view"), read_timeout=60, connect_timeout=60) as tracker:
        yield tracker


def test_the_log_tells_what_was_when_the_view_no_longer_holds_it(tracker):
    # given
    tell_life(tracker.recorder(), IDS)
    assert tracker.flush(60)
    sleep(0.01)  # the broker's clock counts milliseconds
    between_them = datetime.now(UTC)
    sleep(0.01)
    tell_life(tracker.recorder(), ["later"])
    assert tracker.flush(60)
    assert tracker.read("later").state == "SUCCESS"
    travel = SystemTravel(
        Forgetful(tracker.view), tracker.log, lifetimes=tracker.view.owner.lifetimes, make_store=lambda _: MemoryStore(), timeout=60
    )

    # when
    from_view, from_log = tracker.past.state(between_them), travel.state(between_them)

    # then
    assert (from_view.source, from_log.source) == ("view", "log")
    assert from_view.counts == from_log.counts == {"SUCCESS": 30}
    assert {meta.task_id for meta in from_log.items} == set(IDS)


def test_a_stretch_is_told_to_another_topic_as_new_tasks(tracker):
    # given
    with eventresults.connect("memory://?partitions=2") as other:
        tell_life(other.recorder(), IDS)
        assert other.flush(10)
        info = other.log.info(5)

        # when
        with closing(Appending(tracker.log, NewIds("run"))) as taker:
            tally = run(other.log, Stretch(info.starts, info.ends), Where(), taker)

    # then
    metas = tracker.tasks(limit=100)
    assert tally.told == 90
    assert {meta.replay_of for meta in metas} == set(IDS)
    assert {(meta.state, meta.facts) for meta in metas} == {("SUCCESS", 3)}


def test_a_stretch_ends_before_a_time_in_every_partition(tracker):
    tell_life(tracker.recorder(), IDS)
    assert tracker.flush(60)
    sleep(0.01)
    end = datetime.now(UTC)
    sleep(0.01)
    tell_life(tracker.recorder(), [f"u{number}" for number in range(30)])
    assert tracker.flush(60)
    info = tracker.log.info(60)

    stretch = exact(tracker.log, between(tracker.log, info, begin=[], end=[end]))

    assert stretch.offsets == 90
    assert all(stretch.ends[partition] < info.ends[partition] for partition in info.ends)
    assert between(tracker.log, info, begin=[Position(0, 2)], end=[]).starts == {0: 2}
