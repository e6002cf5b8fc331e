"""The kinds of rounds: where the log and the view are, and the harm that is done there."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.e2e.faults import group_actions as group
from tests.e2e.faults import kafka_actions as brokers
from tests.e2e.faults.actions import ANYWHERE, ON_ONE_HOST, Action
from tests.e2e.faults.network_actions import ON_A_NETWORK, Network
from tests.e2e.faults.scene import Scene
from tests.support.kafka import KafkaCluster

Say = Callable[[str], None]
CONFIGS = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": 16 * 2**20}
CLIENTS = ("confluent", "kafka-python")
#: Of so many rounds on one host, one has a small disk of its own, where that can be mounted.
SMALL_DISKS = 4
#: Of so many rounds on Kafka, one ends with more partitions than it began with.
REPARTITIONED = 4


@dataclass(frozen=True, kw_only=True)
class Stage:
    """`weight`: how often it is drawn; `length`: the actions of a round."""

    weight: int
    length: int
    actions: Mapping[Action, int]
    #: Makes the scene of a seed.
    scene: Callable[[int, Say], Iterator[Scene]]
    partitions: int = 1

    def draw(self, scene: Scene) -> list[Action]:
        return scene.chance.choices(list(self.actions), list(self.actions.values()), k=self.length)

    def draw_finale(self, scene: Scene) -> Action | None:
        return brokers.add_partitions if scene.kafka is not None and scene.chance.randrange(REPARTITIONED) == 0 else None


def one_host(seed: int, say: Say) -> Iterator[Scene]:
    with Scene(seed, say=say) as scene:
        if scene.chance.randrange(SMALL_DISKS) == 0:
            scene.mount_small_disk()
        yield scene


def network(seed: int, say: Say) -> Iterator[Scene]:
    with Scene(seed, say=say) as scene:
        scene.network = Network(scene)
        yield scene


def kafka(seed: int, say: Say, *, partitions: int = 2) -> Iterator[Scene]:
    cluster, topic = three_brokers(), f"soak-{seed}"
    cluster.start()
    cluster.delete_topic(topic)
    cluster.create_topic(topic, partitions, CONFIGS)
    with Scene(seed, url=cluster.url(topic), say=say) as scene:
        scene.kafka, scene.topic, scene.partitions, scene.configs = cluster, topic, partitions, CONFIGS
        # All of one kind, or of both: what one of them wrote the other reads.
        scene.clients = scene.chance.choice([CLIENTS[:1], CLIENTS[1:], CLIENTS])
        say(f"clients: {', '.join(scene.clients)}")
        yield scene
    cluster.start()
    cluster.delete_topic(topic)


def consumer_group(seed: int, say: Say) -> Iterator[Scene]:
    for scene in kafka(seed, say, partitions=4):
        scene.group = group.Group(scene)
        for _ in range(2):
            scene.group.start()
        yield scene


@functools.cache
def three_brokers() -> KafkaCluster:
    """Those of all rounds; started by the first that needs them, ended with this process."""
    cluster = KafkaCluster(brokers=3)
    atexit.register(cluster.close)
    return cluster


STAGES = {
    "host": Stage(weight=5, length=25, actions=ON_ONE_HOST, scene=one_host),
    "network": Stage(weight=1, length=15, actions={**ON_A_NETWORK, **ANYWHERE}, scene=network),
    "kafka": Stage(weight=3, length=15, actions={**ON_ONE_HOST, **brokers.ON_BROKERS, **brokers.ON_A_TOPIC}, scene=kafka),
    "group": Stage(
        weight=1, length=8, actions={**group.ON_A_GROUP, **ANYWHERE, **brokers.ON_BROKERS, **brokers.ON_A_TOPIC}, scene=consumer_group
    ),
}


@contextmanager
def on(stage: str, seed: int, say: Say) -> Iterator[Scene]:
    """The scene of one round."""
    yield from STAGES[stage].scene(seed, say)
