"""The harm that a consumer group of projectors suffers: members that come, go, die and fall silent at full load."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from tests.e2e.faults.actions import Action
from tests.e2e.faults.kafka_actions import LONG
from tests.e2e.faults.network_actions import SERVE
from tests.e2e.faults.scene import DEADLINE, ROOT, Scene

if TYPE_CHECKING:
    from tests.e2e.faults.run import Report

GROUP = "faults"


class Group:
    """Members of one consumer group, each a process with a folder of its own."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._made = 0
        self.members: dict[str, subprocess.Popen[bytes]] = {}
        scene.stack.callback(self.end)

    def start(self, name: str | None = None) -> str:
        """A new member, or one that goes on in its own folder."""
        scene = self._scene
        if name is None:
            self._made += 1
            name = f"m{self._made}"
        log = scene.folder / f"stderr-{name}"
        begun = log.stat().st_size if log.exists() else 0
        with log.open("ab") as stderr:
            options = ["--url", scene.url, "--view", str(scene.folder / "members"), "--port", "0", "--group", GROUP, "--instance-id", name]
            self.members[name] = subprocess.Popen([*SERVE, *options], stderr=stderr, env=scene.environment, cwd=ROOT)
        scene.until(lambda: re.search("serving", log.read_text()[begun:]), f"the member {name}")
        return name

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        member = self.members.pop(name)
        member.send_signal(number)
        member.wait(DEADLINE)

    def end(self) -> None:
        for member in self.members.values():
            member.kill()
            member.wait(DEADLINE)


def add_member(scene: Scene, report: Report) -> None:
    """One more: partitions move to it."""
    scene.group.start()
    scene.served_since(time.monotonic(), within=LONG, who=scene.of("reader"))


def remove_member(scene: Scene, report: Report) -> None:
    """SIGTERM: it leaves in good order."""
    if len(scene.group.members) > 1:
        scene.group.stop(scene.chance.choice(sorted(scene.group.members)))
    scene.served_since(time.monotonic(), within=LONG, who=scene.of("reader"))


def kill_member(scene: Scene, report: Report) -> None:
    """Kill -9 one, and start it again under its name: it goes on in its folder."""
    name = scene.chance.choice(sorted(scene.group.members))
    scene.group.stop(name, signal.SIGKILL)
    report.kills += 1
    time.sleep(scene.chance.uniform(0, 1))
    begun = time.monotonic()
    scene.group.start(name)
    report.takeovers.append(scene.served_since(begun, within=LONG, who=scene.of("reader")))


def stop_member(scene: Scene, report: Report) -> None:
    """SIGSTOP one for a while, and wake it."""
    member = scene.group.members[scene.chance.choice(sorted(scene.group.members))]
    os.kill(member.pid, signal.SIGSTOP)
    time.sleep(scene.chance.uniform(0.5, 4.0))
    os.kill(member.pid, signal.SIGCONT)
    scene.served_since(time.monotonic(), within=LONG, who=scene.of("reader"))


#: What a group can suffer, with how often it is drawn.
ON_A_GROUP: dict[Action, int] = {add_member: 2, remove_member: 2, kill_member: 2, stop_member: 1}
