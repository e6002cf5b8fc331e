"""Members of a consumer group, as processes on a real Kafka, and readers that ask Kafka where to ask."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

import eventresults
from eventresults.errors import ViewUnavailable
from eventresults.tracker import Tracker
from tests.support.events import group_sized
from tests.support.kafka import Kafka
from tests.support.kafka.fixtures import MakeTopic

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

DEADLINE = 60.0
PARTITIONS = 4
LIFE = ["task-sent", "task-started", "task-succeeded"]


class Scene:
    """A topic, its group, and where its members keep their shards."""

    def __init__(self, kafka: Kafka, topic: str, path: Path, stack: ExitStack) -> None:
        self.url = kafka.url(topic)
        self.path = path
        self.group = f"group-{topic}"
        self._stack = stack

    def member(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        """A member as a process of its own; killed at the end of the test."""
        command = [sys.executable, "-m", "eventresults", "serve", "--url", self.url, "--view", str(self.path / "view")]
        command += ["--group", self.group, "--instance-id", name, "--port", str(free_port()), *options]
        with (self.path / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, stderr=log, stdout=log)
        until(lambda: process.poll() is not None or b"serving" in (self.path / f"{name}.log").read_bytes())
        assert process.poll() is None, (self.path / f"{name}.log").read_text()
        self._stack.callback(process.wait, DEADLINE)
        self._stack.callback(process.kill)
        return process

    @contextmanager
    def reader(self) -> Iterator[Tracker]:
        """A process that reads, as it were."""
        with eventresults.connect(
            self.url, view="group", group=self.group, read_timeout=DEADLINE, connect_timeout=DEADLINE, client="confluent"
        ) as tracker:
            yield tracker

    def tell(self, ids: list[str]) -> None:
        """Whole lives of these tasks."""
        with eventresults.connect(self.url, client="confluent") as tracker:
            recorder = tracker.recorder()
            for number, task_id in enumerate(ids):
                recorder.sent(task_id, name="work")
                recorder.started(task_id)
                recorder.succeeded(task_id, result=number)
            assert tracker.flush(DEADLINE)


@pytest.fixture
def scene(kafka: Kafka, make_topic: MakeTopic, tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(kafka, make_topic(partitions=PARTITIONS), tmp_path, stack)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def until(true: object, timeout: float = DEADLINE) -> None:
    deadline = monotonic() + timeout
    while not true():
        assert monotonic() < deadline, "it did not come to pass"
        sleep(0.05)


def members(tracker: Tracker) -> set[str]:
    return {one["address"] for one in tracker.view_stats()["members"]}


def test_two_members_share_the_partitions_and_a_reader_finds_every_task(scene: Scene):
    # given
    ids = [f"t{number}" for number in range(200)]
    scene.tell(ids)
    with eventresults.connect(scene.url) as writer:
        for number in range(20):
            writer.recorder().append(group_sized(0, group_id=f"g{number:02}"))
        assert writer.flush(DEADLINE)
    scene.member("a")
    with scene.reader() as tracker:
        assert [meta and meta.result for meta in tracker.read_many(ids).values()] == list(range(200))
        assert len(members(tracker)) == 1

        # when
        scene.member("b")
        until(lambda: len(members(tracker)) == 2)

        # then
        assert [meta and meta.result for meta in tracker.read_many(ids).values()] == list(range(200))
        assert tracker.AsyncResult("t7").get(timeout=DEADLINE) == 7
        assert [event.kind for event in tracker.history("t9")] == LIFE
        assert tracker.read("nobody") is None
        listed = [meta.task_id for meta in tracker.tasks(limit=500)]
        assert sorted(listed) == sorted(ids)
        first = tracker.view.opened("group", limit=7)
        rest = tracker.view.opened("group", cursor=first.cursor)
        assert [row.subject for row in first.items + rest.items] == [f"g{number:02}" for number in range(20)]
        assert tracker.view.group("g03", brief=True).completed_by is not None
        until(lambda: sorted(one["partition"] for one in tracker.view_stats()["partitions"]) == list(range(PARTITIONS)))

        # then: each proves what it has
        assert tracker.verify() == []


def test_what_is_watched_follows_its_partition_and_is_told_exactly_once(scene: Scene):
    # given: a reader that watches, writers that write, one member
    ids = [f"w{number}" for number in range(600)]
    told: defaultdict[str, list[str]] = defaultdict(list)
    first = scene.member("a")
    with scene.reader() as tracker:
        tracker.view.subscribe(ids, lambda change: told[change.subject].append(change.fact.event.kind))
        fired: defaultdict[str, list[int]] = defaultdict(list)
        results = [tracker.AsyncResult(task_id) for task_id in ids]
        for result in results:
            result.then(lambda one: fired[one.id].append(one.result))
        writing = threading.Thread(target=lambda: [scene.tell(ids[at : at + 50]) for at in range(0, 600, 50)])
        writing.start()

        # when: a second one comes, and the first is killed
        second = scene.member("b")
        until(lambda: len(members(tracker)) == 2)
        first.kill()
        writing.join(DEADLINE)

        # then
        until(lambda: sum(kinds == LIFE for kinds in told.values()) == 600)
        until(lambda: len(fired) == 600)
        assert set(map(len, fired.values())) == {1}
        assert second.poll() is None
        assert [result.get(timeout=DEADLINE) for result in results[:3]] == [0, 1, 2]
    assert {tuple(kinds) for kinds in told.values()} == {tuple(LIFE)}


def test_a_group_without_members_says_so_in_time(scene: Scene):
    with eventresults.connect(scene.url, view="group", group=scene.group, read_timeout=1.5, client="confluent") as tracker:
        begun = monotonic()
        with pytest.raises(ViewUnavailable, match="serve --group"):
            tracker.read("t1")
        assert monotonic() - begun < 5


def test_a_member_goes_in_good_order_and_comes_back_with_its_shards(scene: Scene):
    # given
    scene.tell([f"t{number}" for number in range(50)])
    member = scene.member("a")
    with scene.reader() as tracker:
        assert tracker.read("t1") is not None

        # when
        member.terminate()
        assert member.wait(15) == 0
        scene.tell(["later"])
        scene.member("a")

        # then: it went on from where it was
        assert tracker.read("later") is not None
        until(lambda: sum(one.get("records", 0) for one in tracker.view_stats()["partitions"]) >= 153)
        assert sum(one["records"] for one in tracker.view_stats()["partitions"]) == 153


def test_a_shard_that_moves_begins_with_its_snapshot(scene: Scene):
    # given: a member, and a snapshot of its shards
    scene.tell([f"t{number}" for number in range(100)])
    member = scene.member("a", "--snapshots", str(scene.path / "snapshots"))
    with scene.reader() as tracker:
        assert tracker.read("t1") is not None
        member.terminate()
        member.wait(15)
    options = ["--view", str(scene.path / "view" / "member-a"), "--to", str(scene.path / "snapshots")]
    made = subprocess.run(
        [sys.executable, "-m", "eventresults", "view", "snapshot", "--url", scene.url, *options],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert made.returncode == 0, made.stderr

    # when: another one takes its place
    scene.member("b", "--snapshots", str(scene.path / "snapshots"))

    # then
    with scene.reader() as tracker:
        assert tracker.read("t99") is not None
        until(lambda: (scene.path / "b.log").read_text().count("begins with its snapshot") == PARTITIONS)
