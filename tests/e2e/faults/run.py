"""One round: processes at work, harm done in an order that the seed draws, and after each the proof."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.e2e.faults.actions import Action, heal
from tests.e2e.faults.proof import SETTLE, count, settle, verify
from tests.e2e.faults.report import Report
from tests.e2e.faults.scene import Hung, Scene


def run_round(
    scene: Scene, actions: Sequence[Action], *, name: str = "", readers: int = 3, pause: float = 0.6, finale: Action | None = None
) -> Report:
    """Do these one after another, with pauses, and prove that all is well.

    After each, every reader has had an answer and the view is compared with a fold of its log. What was acknowledged, told and fired
    stays noted, and is compared with the log when all has come to rest (and before an action takes the log away). The `finale` is done
    after that: nothing goes on from there.
    """
    report = Report(name or str(scene.seed))
    scene.start_writers()
    for _ in range(readers):
        scene.start("reader", **scene.where)
    try:
        scene.served_since(0.0, within=SETTLE, who=scene.of("reader"))
        for action in actions:
            do(scene, report, action)
            scene.restart_dead()
            verify(scene, report)
            time.sleep(scene.chance.uniform(0.2, 2 * pause))
        heal(scene)
        settle(scene, report)
        if finale is not None:
            do(scene, report, finale)
    except Hung as hung:
        report.violations.append(f"hung: {hung}")
    count(scene, report)
    return report


def do(scene: Scene, report: Report, action: Action) -> None:
    scene.say(action.__name__)
    report.actions[action.__name__] += 1
    before = len(report.takeovers)
    action(scene, report)
    for seconds in report.takeovers[before:]:
        scene.say(f"  {action.__name__}: the last of the others had its answer after {seconds:.2f} s")
