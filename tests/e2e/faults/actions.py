"""The harm that is done on one host. Each action takes the scene and the report; what it draws comes from the scene's seed."""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.faults.scene import Process, Scene

if TYPE_CHECKING:
    from tests.e2e.faults.report import Report

Action = Callable[[Scene, "Report"], None]
#: How long anybody may be left without an answer, whatever happened.
PATIENCE = 20.0


def heal(scene: Scene) -> None:
    """Whatever lasts is ended."""
    for one in scene.processes:
        if one.stopped:
            one.thaw()
    if scene.kafka is not None:
        scene.kafka.start()
    scene.restart_dead()


def others(scene: Scene, victim: Process | None) -> list[Process]:
    """Those that can notice: not those that are stopped, or only just begin."""
    return [one for one in scene.of("reader") if one is not victim and not one.stopped and scene.has_read(one)]


def owner_and_another(scene: Scene) -> Process:
    """The owner, once there is one, and another that can notice what becomes of it."""
    return scene.until(lambda: (owner := scene.owner) and others(scene, owner) and owner, "an owner and another reader")


def bystander(scene: Scene) -> Process:
    """One that only reads: where the view is elsewhere, all do."""
    if scene.where:
        return scene.chance.choice(scene.until(lambda: others(scene, None), "a reader that has read"))
    return scene.chance.choice(others(scene, owner_and_another(scene)))


def kill_owner(scene: Scene, report: Report) -> None:
    """Kill -9 the owner, at any instant."""
    owner = owner_and_another(scene)
    time.sleep(scene.chance.random() * 0.05)
    begun = time.monotonic()
    owner.kill("owner")
    report.takeovers.append(scene.served_since(begun, within=PATIENCE, who=others(scene, owner)))


def kill_between_commit_and_telling(scene: Scene, report: Report) -> None:
    """The owner dies once its commit is done, before anybody is told."""
    _kill_at_commit(scene, report, "after")


def kill_before_commit(scene: Scene, report: Report) -> None:
    """The owner dies with a poll folded and not committed."""
    _kill_at_commit(scene, report, "before")


def _kill_at_commit(scene: Scene, report: Report, when: str) -> None:
    owner = owner_and_another(scene)
    owner.killed, owner.role = True, "owner"
    owner.tell("arm", when)
    scene.until(lambda: not owner.alive, f"the death of {owner.name} {when} a commit", timeout=PATIENCE)
    report.takeovers.append(scene.served_since(time.monotonic(), within=PATIENCE, who=others(scene, owner)))


def stop_owner(scene: Scene, report: Report) -> None:
    """SIGSTOP the owner for long or short, and wake it: a successor may have taken its place, or not."""
    owner = owner_and_another(scene)
    seconds = scene.chance.choice([0.5, 1.0, scene.chance.uniform(1.3, 3.0), 5.0])
    begun = time.monotonic()
    owner.freeze()
    if seconds == 5.0:
        report.supersessions.append(scene.served_since(begun, within=PATIENCE, who=others(scene, owner)))
    time.sleep(max(seconds - (time.monotonic() - begun), 0))
    owner.thaw()
    scene.served_since(time.monotonic(), within=PATIENCE, who=scene.of("reader"))


def stop_reader(scene: Scene, report: Report) -> None:
    """A reader that reads nothing for a while: the others are told meanwhile."""
    reader = bystander(scene)
    reader.freeze()
    scene.served_since(time.monotonic(), within=PATIENCE, who=others(scene, reader))
    time.sleep(scene.chance.uniform(0.5, 3.0))
    reader.thaw()
    scene.served_since(time.monotonic(), within=PATIENCE, who=scene.of("reader"))


def kill_reader(scene: Scene, report: Report) -> None:
    """Kill -9 one that only reads."""
    bystander(scene).kill()


def kill_writer(scene: Scene, report: Report) -> None:
    """Kill -9 a writer: what it had acknowledged, or accepted into an outbox, is there."""
    scene.chance.choice(scene.of("writer")).kill()


def fork_reader(scene: Scene, report: Report) -> None:
    """A process forks in mid-flight; now and then the parent is killed while its child lives."""
    one = scene.chance.choice([one for one in scene.of("reader") if not one.stopped])
    one.tell("fork")
    if scene.chance.random() < 0.3:
        time.sleep(scene.chance.random() * 0.1)
        one.kill("owner" if one is scene.owner else None)
    scene.served_since(time.monotonic(), within=PATIENCE, who=others(scene, one))


def rebuild(scene: Scene, report: Report) -> None:
    """A rebuild at full load, by the owner or by another; now and then the owner is killed meanwhile."""
    scene.wait_for_owner()
    scene.chance.choice([one for one in scene.of("reader") if not one.stopped]).tell("rebuild")
    if scene.chance.random() < 0.3:
        time.sleep(scene.chance.random() * 0.3)
        kill_owner(scene, report)
    scene.served_since(time.monotonic(), within=PATIENCE, who=scene.of("reader"))


def delete_view(scene: Scene, report: Report) -> None:
    """Somebody removes the folder of the view under its owner."""
    for child in scene.view.iterdir() if scene.view.exists() else ():
        shutil.rmtree(child, ignore_errors=True)
        child.unlink(missing_ok=True) if not child.is_dir() else None
    scene.served_since(time.monotonic(), within=PATIENCE, who=scene.of("reader"))


def damage_view(scene: Scene, report: Report) -> None:
    """Bytes of a shard's file are overwritten; half the time its owner is killed, so that the next one opens what is left."""
    owner = scene.wait_for_owner()
    kind = scene.chance.choice(["*.sst", "*.blob", "*.log", "MANIFEST-*", "CURRENT"])
    files = sorted(scene.view.glob(f"[0-9]*/[0-9]*/{kind}"))
    for file in files[-1:]:
        damage(file, scene)
    if scene.chance.random() < 0.5:
        owner.kill("owner")
        scene.served_since(time.monotonic(), within=PATIENCE, who=others(scene, owner))


def damage(file: Path, scene: Scene) -> None:
    with suppress(FileNotFoundError), file.open("r+b") as opened:
        size = file.stat().st_size
        for _ in range(3):
            opened.seek(scene.chance.randrange(max(size - 16, 1)))
            opened.write(scene.chance.randbytes(min(16, max(size, 1))))


def fill_disk(scene: Scene, report: Report) -> None:
    """The view's disk is full for a while: a limit on the size of the owner's files stands in where no small disk can be mounted."""
    if scene.ballast is not None:
        with suppress(OSError), scene.ballast.open("wb") as file:
            while True:
                file.write(bytes(65536))
                file.flush()
        time.sleep(scene.chance.uniform(0.5, 3.0))
        scene.ballast.unlink(missing_ok=True)
    else:
        owner = scene.wait_for_owner()
        _, hard = resource.prlimit(owner.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(owner.pid, resource.RLIMIT_FSIZE, (4096, hard))
        time.sleep(scene.chance.uniform(0.5, 3.0))
        with suppress(ProcessLookupError):
            resource.prlimit(owner.pid, resource.RLIMIT_FSIZE, (hard, hard))
    scene.served_since(time.monotonic(), within=PATIENCE, who=scene.of("reader"))


def append_hostile(scene: Scene, report: Report) -> None:
    """Records that nobody should write, and copies of those that somebody did."""
    with closing(scene.log.writer()) as writer:
        for _ in range(30):
            key, value = scene.chance.choice(HOSTILE)(scene)
            writer.append(key, value).result(PATIENCE)
        for key, value in scene.some_records(20):
            writer.append(key, value).result(PATIENCE)


HOSTILE: list[Callable[[Scene], tuple[bytes, bytes]]] = [
    lambda scene: (b"x", scene.chance.randbytes(50)),
    lambda scene: (b"\xff\xfe", b'{"v":1}'),
    lambda scene: (b"w1-1", b""),
    lambda scene: (b"w1-1", b'{"v":99,"kind":"task-sent","task_id":"w1-1","event_id":"e","time":"2026-01-01T00:00:00Z"}'),
    lambda scene: (
        b"w1-2",
        b'{"v":1,"kind":"task-invented","task_id":"w1-2","event_id":"%d","time":"2026-01-01T00:00:00Z"}' % scene.chance.randrange(9),
    ),
    lambda scene: (b"w2-3", b'{"v":1,"kind":"task-succeeded","task_id":"another","event_id":"e","time":"2026-01-01T00:00:00Z"}'),
    lambda scene: (b"deep", b"[" * 100_000),
    lambda scene: (b"k" * 2000, b"{}"),
]
#: What one host can suffer, with how often it is drawn.
ON_ONE_HOST: dict[Action, int] = {
    kill_owner: 16,
    kill_between_commit_and_telling: 6,
    kill_before_commit: 3,
    stop_owner: 3,
    stop_reader: 2,
    kill_reader: 2,
    kill_writer: 2,
    fork_reader: 3,
    rebuild: 2,
    delete_view: 2,
    damage_view: 3,
    fill_disk: 2,
    append_hostile: 3,
}
#: What readers and writers suffer wherever the view is.
ANYWHERE: dict[Action, int] = {stop_reader: 2, kill_reader: 2, kill_writer: 2, fork_reader: 3, append_hostile: 2}
