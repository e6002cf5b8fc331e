"""Projections and time travel over a consumer group, as processes on a real Kafka."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from eventresults import Position
from eventresults.errors import ProjectionUnknown
from tests.integration.test_group import DEADLINE, PARTITIONS, Scene, members, until
from tests.support.kafka import Kafka
from tests.support.kafka.fixtures import MakeTopic

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PATH = "tests.support.projections:BY_STATE"


@pytest.fixture
def scene(kafka: Kafka, make_topic: MakeTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EVENTRESULTS_PROJECTIONS", PATH)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with ExitStack() as stack:
        yield Scene(kafka, make_topic(partitions=PARTITIONS), tmp_path, stack)


def test_a_reader_merges_what_all_members_hold_of_a_key(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    # given
    scene.tell([f"t{number}" for number in range(100)])
    scene.member("a")
    scene.member("b")

    # when, then
    with scene.reader() as tracker:
        until(lambda: len(members(tracker)) == 2)
        assert tracker.projection("by-state").get("all") == {"SUCCESS": 100}
        scene.tell([f"u{number}" for number in range(50)])
        assert list(tracker.projection("by-state").items()) == [("all", {"SUCCESS": 150})]
        assert {name for one in tracker.view_stats()["partitions"] for name in one["projections"]} == {"by-state"}

    # then: who does not have it cannot merge, and is told what to do
    monkeypatch.delenv("EVENTRESULTS_PROJECTIONS")
    with scene.reader() as tracker, pytest.raises(ProjectionUnknown, match="register it here, too"):
        tracker.projection("by-state").get("all")


def test_a_member_that_comes_back_with_a_new_one_builds_its_partitions_with_it(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    # given
    scene.tell([f"t{number}" for number in range(100)])
    monkeypatch.delenv("EVENTRESULTS_PROJECTIONS")
    first = scene.member("a")
    with scene.reader() as tracker:
        assert tracker.read("t7").result == 7
        with pytest.raises(ProjectionUnknown, match="it runs: none"):
            tracker.projection("by-state").get("all")
    first.terminate()
    first.wait(DEADLINE)

    # when
    monkeypatch.setenv("EVENTRESULTS_PROJECTIONS", PATH)
    scene.member("a")

    # then
    with scene.reader() as tracker:
        assert tracker.projection("by-state").get("all") == {"SUCCESS": 100}
        assert tracker.read("t7").result == 7


def test_the_whole_system_at_a_moment_is_asked_of_all_members(scene: Scene):
    # given
    scene.tell([f"t{number}" for number in range(50)])
    scene.member("a")
    scene.member("b")
    with scene.reader() as tracker:
        until(lambda: len(members(tracker)) == 2)
        ends = tracker.log.info(DEADLINE).ends
        scene.tell([f"u{number}" for number in range(50)])

        # when
        then = tracker.past.state({partition: end - 1 for partition, end in ends.items()})
        task = tracker.past.task("t7", Position(tracker.log.partition_for(b"t7"), 10**9))

        # then
        assert (then.source, then.counts) == ("view", {"SUCCESS": 50})
        assert (task.source, task.meta and task.meta.result) == ("view", 7)
        assert tracker.past.state(dict.fromkeys(ends, -1)).total == 0
