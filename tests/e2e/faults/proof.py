"""The proof: what the processes noted is what the log says, and so is the view."""

from __future__ import annotations

import time
from collections.abc import Sequence

from eventresults.errors import EventResultsError
from tests.e2e.faults.checker import check_ledger, check_told
from tests.e2e.faults.report import Report
from tests.e2e.faults.scene import Process, Scene
from tests.e2e.faults.truth import Truth, truth_of

SETTLE = 60.0
CLOSE = 15.0


def settle(scene: Scene, report: Report) -> None:
    """Let everything come to rest and to its end, and compare."""
    truth = settle_writers(scene, report)
    survivors = survivors_of(scene)
    for one in survivors:
        one.tell("stop")
        one.end()
        scene.until(lambda one=one: not one.alive, f"the end of {one.name} after close()", timeout=CLOSE)
        if one.process.returncode != 0:
            report.violations.append(f"{one.name} ended with {one.process.returncode}: {scene.stderr(one)[-2000:]}")
    compare(scene, truth, report, survivors)


def settle_writers(scene: Scene, report: Report) -> Truth:
    """Let the writers tell all lives to their ends, wait until the readers are told, and compare; what the log says."""
    scene.retire(*scene.of("writer"))
    # The last of a writer that was killed: whoever records next adopts what it had accepted.
    scene.witness.recorder("settling").sent("settling", name="n").result(SETTLE)
    time.sleep(0.2)
    truth = truth_of(scene.witness.log)
    report.records += len(truth.values)
    survivors = survivors_of(scene)
    wait_for_told(scene, truth, survivors)
    verify(scene, report)
    compare(scene, truth, report, survivors)
    return truth


def survivors_of(scene: Scene) -> list[Process]:
    return [one for one in scene.of("reader") if not one.killed]


def wait_for_told(scene: Scene, truth: Truth, survivors: Sequence[Process]) -> None:
    """Until every promise that should have fired has, and all is told, or time is up: `compare` says what is missing."""
    waiting = list(survivors)
    deadline = time.monotonic() + SETTLE
    while waiting and time.monotonic() < deadline:
        waiting = [one for one in waiting if any(is_missing(line) for line in check_told(truth, scene.notes(one), one.name, survived=True))]
        time.sleep(0.05)
    if waiting:
        scene.say("not all was told in time")


def is_missing(violation: str) -> bool:
    """Whether it may still come."""
    return "never fired" in violation or "it was told" in violation


def verify(scene: Scene, report: Report) -> None:
    """The view, as it is now, equals a fold of its log."""
    deadline = time.monotonic() + SETTLE
    while True:
        try:
            found = scene.witness.verify()
        except EventResultsError as error:
            # Damage that nobody had read yet is met here first, and mended; and an owner may have died just now.
            if time.monotonic() < deadline:
                scene.say(f"verify: {error}")
                time.sleep(0.2)
                continue
            report.violations.append(f"the view could not be verified: {error!r}")
        else:
            report.verified += 1
            report.violations += [f"the view differs from the log: {one}" for one in found[:5]]
        return


def compare(scene: Scene, truth: Truth, report: Report, survivors: Sequence[Process]) -> None:
    """Every acknowledged fact lies where the ledger says, everybody was told what the log says, every error was one of ours."""
    for one in [*scene.ended, *scene.processes]:
        notes = scene.notes(one)
        if one.kind == "writer":
            found = check_ledger(truth, notes, one.name, outbox="outbox" in one.settings)
        else:
            found = check_told(truth, notes, one.name, survived=one in survivors)
        report.violations += [line for line in found if line not in report.violations]


def count(scene: Scene, report: Report) -> None:
    """What everybody met, and how they ended."""
    for one in [*scene.ended, *scene.processes]:
        if not one.killed and one.process.poll() not in (None, 0):
            report.violations.append(f"{one.name} ended with {one.process.returncode}: {scene.stderr(one)[-2000:]}")
        for what, *said in scene.all_notes(one):
            if what == "error":
                report.errors[f"{said[0].split()[0]}: {said[1]}"] += 1
            report.fired += what == "fired"
        report.kills[one.role] += one.killed
    for log in sorted(scene.folder.glob("stderr-*")):
        text = log.read_text(errors="replace")
        if "Traceback" in text:
            report.violations.append(f"{log.name} holds a traceback: {text[text.index('Traceback') :][:3000]}")
    report.kills = +report.kills
