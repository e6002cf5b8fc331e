"""What brokers, topics and groups may suffer, in a minute, with the same writers, readers and proofs as on one host."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.faults import group_actions as group
from tests.e2e.faults import kafka_actions as harm
from tests.e2e.faults.actions import Action, kill_owner
from tests.e2e.faults.report import Report
from tests.e2e.faults.run import run_round
from tests.e2e.faults.scene import Scene
from tests.e2e.faults.stages import CLIENTS, CONFIGS
from tests.support.kafka import Kafka, KafkaCluster, require_kafka
from tests.support.kafka.fixtures import MakeTopic

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.skipif(sys.platform != "linux", reason="SIGSTOP")]

CONFLUENT, KAFKA_PYTHON = CLIENTS
#: Seed, the clients, what is done, and what the seed found, if it found something.
SEEDS: list[tuple[int, tuple[str, ...], list[Action]]] = [
    (1, (CONFLUENT,), [harm.recreate_topic, kill_owner]),
    (2, (KAFKA_PYTHON,), [harm.let_retention_pass]),
    (3, CLIENTS, [harm.restart_brokers]),
]


@contextmanager
def scene_on(kafka: Kafka, topic: str, seed: int, partitions: int, clients: tuple[str, ...] = CLIENTS) -> Iterator[Scene]:
    with Scene(seed, url=kafka.url(topic)) as scene:
        scene.kafka, scene.topic, scene.partitions, scene.configs, scene.clients = kafka, topic, partitions, CONFIGS, clients
        yield scene


@pytest.mark.parametrize(("seed", "clients", "actions"), SEEDS)
def test_whatever_happens_to_the_topic_nothing_is_lost_told_twice_or_left_hanging(
    kafka: Kafka, make_topic: MakeTopic, seed: int, clients: tuple[str, ...], actions: list[Action]
):
    with scene_on(kafka, make_topic(partitions=2), seed, 2, clients) as scene:
        report = run_round(scene, actions, readers=2, pause=0.1)
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
        with scene_on(kafka, "faults", seed, 2, (CONFLUENT,)) as scene:
            report = run_round(scene, actions, readers=2, pause=0.1)
    assert report.violations == []
    assert report.fired > 20


def test_members_of_a_group_may_come_and_die(kafka: Kafka, make_topic: MakeTopic):
    # What was told by a member that was lost half-way through catching up was told again by the next.
    with scene_on(kafka, make_topic(partitions=4), 1, 4) as scene:
        scene.group = group.Group(scene)
        scene.group.start()
        report = run_round(scene, [group.add_member, group.kill_member], readers=2, pause=0.1)
    assert report.violations == []
    assert report.fired > 20


def test_partitions_that_are_added_are_told_to_everybody(kafka: Kafka, make_topic: MakeTopic):
    with scene_on(kafka, make_topic(partitions=2), 5, 2) as scene:
        report = Report("partitions")
        harm.add_partitions(scene, report)
    assert report.violations == []
