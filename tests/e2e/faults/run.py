"""One round: processes at work, harm done in an order that the seed draws, and then the proof."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import eventresults
from eventresults.errors import EventResultsError
from tests.e2e.faults.actions import Action, heal
from tests.e2e.faults.checker import check_ledger, check_told
from tests.e2e.faults.group_actions import GROUP
from tests.e2e.faults.scene import Hung, Process, Scene
from tests.e2e.faults.truth import Truth, truth_of

SETTLE = 40.0
CLOSE = 15.0


@dataclass
class Report:
    """What was done, and what came of it."""

    seed: int
    actions: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    #: Seconds from each kill or stop of an owner until every other reader had an answer.
    takeovers: list[float] = field(default_factory=list)
    supersessions: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    records: int = 0
    fired: int = 0
    violations: list[str] = field(default_factory=list)


def run_round(scene: Scene, actions: Sequence[Action], *, readers: int = 3, pause: float = 0.6) -> Report:
    """Do these one after another, with pauses, and prove that all is well."""
    report = Report(scene.seed)
    scene.start("writer")
    scene.start("writer", outbox=str(scene.folder / "outbox"))
    for _ in range(readers):
        scene.start("reader", **where(scene))
    try:
        scene.served_since(0.0, within=SETTLE, who=scene.of("reader"))
        for action in actions:
            scene.say(action.__name__)
            report.actions[action.__name__] += 1
            before = len(report.takeovers)
            action(scene, report)
            for seconds in report.takeovers[before:]:
                scene.say(f"  {action.__name__}: the last of the others had its answer after {seconds:.2f} s")
            scene.restart_dead()
            time.sleep(scene.chance.uniform(0.2, 2 * pause))
        heal(scene)
        settle(scene, report)
    except Hung as hung:
        report.violations.append(f"hung: {hung}")
    count(scene, report)
    return report


def where(scene: Scene) -> dict[str, str]:
    """What readers are told of the view: it is this host's, a service's or a group's."""
    if scene.group is not None:
        return {"view": "group", "group": GROUP}
    return {} if scene.network is None else {"view": scene.network.url}


def settle(scene: Scene, report: Report) -> None:
    """Let everything come to rest, and compare."""
    for one in scene.of("writer"):
        one.end()
    for one in scene.of("writer"):
        scene.until(lambda one=one: not one.alive, f"the end of {one.name}")
    with eventresults.connect(scene.url, view=str(scene.view), own="never", outbox=str(scene.folder / "outbox")) as tracker:
        # The last of a writer that was killed: whoever records next adopts what it had accepted.
        tracker.recorder("settling").sent("settling", name="n").result(SETTLE)
        time.sleep(0.2)
        truth = truth_of(tracker.log)
        report.records = len(truth.values)
        survivors = [one for one in scene.of("reader") if not one.killed]
        for one in survivors:
            one.tell("stop")
        wait_for_told(scene, truth, survivors)
        if scene.group is None:
            verify(scene, tracker, report)
    for one in survivors:
        one.end()
        scene.until(lambda one=one: not one.alive, f"the end of {one.name} after close()", timeout=CLOSE)
        if one.process.returncode != 0:
            report.violations.append(f"{one.name} ended with {one.process.returncode}: {scene.stderr(one)[-2000:]}")
    compare(scene, truth, report, survivors)


def wait_for_told(scene: Scene, truth: Truth, survivors: Sequence[Process]) -> None:
    """Until every promise that should have fired has, and all is told, or time is up: `compare` says what is missing."""

    def missing() -> int:
        return sum(
            sum("never fired" in line or "it was told" in line for line in check_told(truth, scene.notes(one), one.name, survived=True))
            for one in survivors
        )

    try:
        scene.until(lambda: not missing(), "all told", timeout=SETTLE)
    except Hung:
        scene.say("not all was told in time")


def verify(scene: Scene, tracker: eventresults.Tracker, report: Report) -> None:
    deadline = time.monotonic() + SETTLE
    while True:
        try:
            found = tracker.verify()
        except EventResultsError as error:
            # Damage that nobody had read yet is met here first, and mended.
            if time.monotonic() < deadline:
                scene.say(f"verify: {error}")
                time.sleep(0.5)
                continue
            report.violations.append(f"the view could not be verified: {error!r}")
        else:
            report.violations += [f"the view differs from the log: {one}" for one in found[:5]]
        return


def compare(scene: Scene, truth: Truth, report: Report, survivors: Sequence[Process]) -> None:
    for one in [*scene.ended, *scene.processes]:
        notes = scene.notes(one)
        if one.kind == "writer":
            report.violations += check_ledger(truth, notes, one.name, outbox="outbox" in one.settings)
        else:
            report.violations += check_told(truth, notes, one.name, survived=one in survivors)


def count(scene: Scene, report: Report) -> None:
    everyone = [*scene.ended, *scene.processes]
    for one in everyone:
        if not one.killed and one.process.poll() not in (None, 0):
            report.violations.append(f"{one.name} ended with {one.process.returncode}: {scene.stderr(one)[-2000:]}")
        if "Traceback" in scene.stderr(one):
            report.violations.append(f"{one.name} wrote a traceback: {scene.stderr(one)[-3000:]}")
        for what, *said in scene.notes(one):
            if what == "error":
                report.errors[f"{said[0].split()[0]}: {said[1]}"] += 1
            report.fired += what == "fired"
    report.kills += sum(one.killed for one in everyone)


Print = Callable[[str], None]


def tell(report: Report, say: Print = print) -> None:
    """For people."""
    say(f"seed {report.seed}: {report.records} records, {report.fired} promises fired, {report.kills} kills, {dict(report.actions)}")
    if report.takeovers:
        say(f"  takeover {middle(report.takeovers):.2f} s at the middle, {max(report.takeovers):.2f} s at most ({len(report.takeovers)})")
    if report.supersessions:
        say(f"  of a stopped owner {middle(report.supersessions):.2f} s, {max(report.supersessions):.2f} s ({len(report.supersessions)})")
    if report.errors:
        say(f"  errors met: {dict(report.errors)}")
    for line in report.violations[:20]:
        say(f"  VIOLATION {line}")


def middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
