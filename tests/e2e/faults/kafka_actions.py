"""The harm that brokers and topics suffer. The scene's `kafka` and `topic` are what it is done to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.e2e.faults.actions import PATIENCE, Action
from tests.e2e.faults.scene import Scene

if TYPE_CHECKING:
    from tests.e2e.faults.run import Report

#: Brokers take their time.
LONG = 3 * PATIENCE


def kill_broker(scene: Scene, report: Report) -> None:
    """Kill -9 the broker that leads a partition; the other two go on, and it comes back."""
    scene.kafka.wait_until_in_sync(scene.topic, timeout=LONG)
    broker = scene.kafka.leader(scene.topic)
    scene.kafka.kill(broker)
    scene.served_since(time.monotonic(), within=LONG, who=scene.of("reader"))
    time.sleep(scene.chance.uniform(0, 2))
    scene.kafka.start_broker(broker)


def pause_broker(scene: Scene, report: Report) -> None:
    """A broker takes connections and answers nothing."""
    broker = scene.kafka.leader(scene.topic)
    scene.kafka.pause(broker)
    time.sleep(scene.chance.uniform(0.5, 3))
    scene.kafka.resume(broker)
    scene.served_since(time.monotonic(), within=LONG, who=scene.of("reader"))


def restart_brokers(scene: Scene, report: Report) -> None:
    """All brokers end and begin again."""
    scene.kafka.restart()
    scene.served_since(time.monotonic(), within=LONG, who=scene.of("reader"))


def recreate_topic(scene: Scene, report: Report) -> None:
    """The topic is deleted and created again: what was in it means nothing any more, what comes now does."""
    scene.end_writers()
    scene.kafka.delete_topic(scene.topic)
    scene.kafka.create_topic(scene.topic, scene.partitions, scene.configs)
    scene.start("writer")
    scene.served_since(time.monotonic(), within=LONG, who=scene.of("reader"))


def let_retention_pass(scene: Scene, report: Report) -> None:
    """Nobody reads for so long that retention passes the stored position."""
    for one in scene.of("reader"):
        one.kill()
    time.sleep(0.5)
    scene.end_writers()
    scene.kafka.delete_records(scene.topic, dict.fromkeys(range(scene.partitions), -1))
    scene.restart_dead()
    scene.start("writer")
    scene.served_since(time.monotonic(), within=LONG, who=scene.of("reader"))


def delete_some_records(scene: Scene, report: Report) -> None:
    """Retention takes what may have been read or not, while all are there."""
    scene.end_writers()
    scene.kafka.delete_records(scene.topic, dict.fromkeys(range(scene.partitions), -1))
    scene.start("writer")
    scene.served_since(time.monotonic(), within=LONG, who=scene.of("reader"))


#: With three brokers; the topic must outlive it all.
ON_THREE_BROKERS: dict[Action, int] = {kill_broker: 3, pause_broker: 2}
