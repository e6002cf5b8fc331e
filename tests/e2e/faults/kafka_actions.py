"""The harm that brokers and topics suffer. The scene's `kafka` and `topic` are what it is done to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.e2e.faults.actions import PATIENCE, Action
from tests.e2e.faults.checker import check_ledger
from tests.e2e.faults.proof import settle_writers
from tests.e2e.faults.scene import Scene
from tests.e2e.faults.truth import truth_of

if TYPE_CHECKING:
    from tests.e2e.faults.report import Report

#: Brokers take their time.
LONG = 3 * PATIENCE
#: How long readers may still be answered after the topic got more partitions.
NOTICED = 15.0


def kill_broker(scene: Scene, report: Report) -> None:
    """Kill -9 the broker that leads a partition; the other two go on, and it comes back."""
    scene.kafka.wait_until_in_sync(scene.topic, timeout=LONG)
    broker = scene.kafka.leader(scene.topic)
    scene.kafka.kill(broker)
    report.kills["broker"] += 1
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

    def recreate() -> None:
        scene.kafka.delete_topic(scene.topic)
        scene.kafka.create_topic(scene.topic, scene.partitions, scene.configs)

    _take_the_log_away(scene, report, recreate)


def let_retention_pass(scene: Scene, report: Report) -> None:
    """Nobody folds for so long that retention passes the stored position."""

    def pass_by() -> None:
        if scene.group is not None:
            gone = scene.group.kill_all(report)
        else:
            gone = []
            for one in scene.of("reader"):
                one.kill("owner" if one is scene.owner else None)
        _delete_records(scene)
        for name in gone:
            scene.group.start(name)
        scene.restart_dead()

    _take_the_log_away(scene, report, pass_by)


def delete_some_records(scene: Scene, report: Report) -> None:
    """Retention takes what may have been read or not, while all are there."""
    _take_the_log_away(scene, report, lambda: _delete_records(scene))


def _delete_records(scene: Scene) -> None:
    # One that nobody has folded, so that retention passes whoever is behind it.
    for number in range(8):
        scene.witness.recorder("between").sent(f"between-{number}", name="n").result(LONG)
    scene.kafka.delete_records(scene.topic, dict.fromkeys(range(scene.partitions), -1))


def _take_the_log_away(scene: Scene, report: Report, take: Callable[[], None]) -> None:
    """What the writers wrote is compared first, for it cannot be later."""
    settle_writers(scene, report)
    scene.leave_behind()
    take()
    scene.start_writers()
    scene.served_since(time.monotonic(), within=LONG, who=scene.of("reader"))


def add_partitions(scene: Scene, report: Report) -> None:
    """Somebody adds partitions: from then on keys are elsewhere, and everybody is told so, and what to do. Nothing goes on from here."""
    scene.start_writers()
    readers = [scene.start("reader", **scene.where) for _ in range(2)]
    scene.served_since(time.monotonic(), within=LONG, who=readers)
    begun = time.monotonic()
    scene.kafka.add_partitions(scene.topic, scene.partitions + 1)
    for one in readers:
        scene.until(lambda one=one: _told_of_partitions(scene, one), f"{one.name} told of the partitions", timeout=LONG)
        late = [note for note in scene.notes(one) if note[0] == "read" and note[7] > begun + NOTICED]
        if late:
            report.violations.append(f"{one.name} was answered {NOTICED:g} s after partitions were added: {late[:3]}")
        one.kill()
    writers = scene.of("writer")
    scene.retire(*writers)
    truth = truth_of(scene.witness.log)
    for one in writers:
        report.violations += check_ledger(truth, scene.notes(one), one.name, outbox="outbox" in one.settings)


def _told_of_partitions(scene: Scene, one: object) -> bool:
    return any(note[0] == "error" and note[2] == "TopicMisconfigured" and "partitions" in note[4] for note in scene.notes(one))


#: What brokers suffer, with how often it is drawn. Three of them: the topic must outlive it all.
ON_BROKERS: dict[Action, int] = {kill_broker: 4, pause_broker: 2, restart_brokers: 1}
#: What a topic suffers.
ON_A_TOPIC: dict[Action, int] = {recreate_topic: 2, let_retention_pass: 2, delete_some_records: 1}
