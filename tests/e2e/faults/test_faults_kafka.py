"""What brokers and topics may suffer, in a minute, with the same writers, readers and proofs as on one host."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.faults import group_actions as group
from tests.e2e.faults import kafka_actions as harm
from tests.e2e.faults.actions import Action, kill_owner
from tests.e2e.faults.run import run_round
from tests.e2e.faults.scene import Scene
from tests.support.kafka import Kafka, KafkaCluster, require_kafka
from tests.support.kafka.fixtures import MakeTopic

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.skipif(sys.platform != "linux", reason="SIGSTOP")]

CONFIGS = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": 16 * 2**20}
#: Seed, what is done, and what the seed found, if it found something.
SEEDS: list[tuple[int, list[Action]]] = [
    (1, [harm.recreate_topic, kill_owner]),
    (2, [harm.let_retention_pass, harm.delete_some_records]),
    (3, [harm.restart_brokers]),
]


@contextmanager
def scene_on(kafka: Kafka, topic: str, seed: int, partitions: int) -> Iterator[Scene]:
    with Scene(seed, url=kafka.url(topic)) as scene:
        scene.kafka, scene.topic, scene.partitions, scene.configs = kafka, topic, partitions, CONFIGS
        yield scene


@pytest.mark.parametrize(("seed", "actions"), SEEDS)
def test_whatever_happens_to_the_topic_nothing_is_lost_told_twice_or_left_hanging(
    kafka: Kafka, make_topic: MakeTopic, seed: int, actions: list[Action]
):
    with scene_on(kafka, make_topic(partitions=2), seed, 2) as scene:
        report = run_round(scene, actions, readers=2, pause=0.3)
    assert report.violations == []
    assert report.fired > 20


@pytest.mark.parametrize(
    ("seed", "actions"),
    [
        # The end of the log was asked of the dead leader for as long as it was dead, and no read was answered; and an acknowledgement that
        # named no offset (of a batch that was repeated) gave a Position(1, None).
        (11, [harm.kill_broker]),
    ],
)
def test_one_of_three_brokers_may_die(seed: int, actions: list[Action]):
    require_kafka()
    with KafkaCluster(brokers=3) as kafka:
        kafka.create_topic("faults", 2, CONFIGS)
        with scene_on(kafka, "faults", seed, 2) as scene:
            report = run_round(scene, actions, readers=2, pause=0.3)
    assert report.violations == []
    assert report.fired > 20


def test_members_of_a_group_may_come_and_die(kafka: Kafka, make_topic: MakeTopic):
    # What was told by a member that was lost half-way through catching up was told again by the next.
    with scene_on(kafka, make_topic(partitions=4), 1, 4) as scene:
        scene.group = group.Group(scene)
        scene.group.start()
        report = run_round(scene, [group.add_member, group.kill_member], readers=2, pause=0.3)
    assert report.violations == []
    assert report.fired > 20


def test_partitions_that_are_added_are_told_to_everybody(kafka: Kafka, make_topic: MakeTopic):
    topic = make_topic(partitions=2)
    with scene_on(kafka, topic, 5, 2) as scene:
        scene.start("writer")
        readers = [scene.start("reader") for _ in range(2)]
        scene.served_since(0.0, within=60.0, who=readers)

        # when
        kafka.add_partitions(topic, 3)
        begun = time.monotonic()

        # then
        for one in readers:
            scene.until(lambda one=one: any(told[0] == "error" for told in scene.notes(one)), "an error", timeout=20.0)
            [(kind, ours, message), *_] = [told[2:] for told in scene.notes(one) if told[0] == "error"]
            assert (kind, ours) == ("TopicMisconfigured", True)
            assert "partitions" in message
            assert not [told for told in scene.notes(one) if told[0] == "read" and told[7] > begun + 15.0]
