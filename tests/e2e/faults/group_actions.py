"""The harm that a consumer group of projectors suffers: members that come, go, die and fall silent at full load."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from tests.e2e.faults.actions import Action
from tests.e2e.faults.kafka_actions import LONG
from tests.e2e.faults.network_actions import SERVE
from tests.e2e.faults.scene import DEADLINE, ROOT, Scene

if TYPE_CHECKING:
    from tests.e2e.faults.report import Report

#: Members at a time; more than partitions would stand idle.
MOST = 3
#: Facts a second of a writer that does not spare the group.
FULL = 3000


class Group:
    """Members of one consumer group, each a process with a folder, a port and a Kafka client of its own."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._made = 0
        self._ports: dict[str, int] = {}
        self.name = f"group-of-{scene.topic}"
        self.members: dict[str, subprocess.Popen[bytes]] = {}
        scene.stack.callback(self.end)

    def start(self, name: str | None = None, *, elsewhere: bool = False) -> str:
        """A new member, or one that goes on in its own folder, where it was or `elsewhere`."""
        scene = self._scene
        if name is None:
            self._made += 1
            name = f"m{self._made}"
        if elsewhere or name not in self._ports:
            self._ports[name] = free_port()
        log = scene.folder / f"stderr-{name}"
        begun = log.stat().st_size if log.exists() else 0
        environment = scene.environment | {f"EVENTRESULTS_{key.upper()}": value for key, value in scene.client_of(name).items()}
        with log.open("ab") as stderr:
            options = ["--url", scene.url, "--view", str(scene.folder / "members"), "--port", str(self._ports[name])]
            command = [*SERVE, *options, "--group", self.name, "--instance-id", name]
            self.members[name] = subprocess.Popen(command, stderr=stderr, env=environment, cwd=ROOT)
        scene.until(lambda: re.search("serving", log.read_text()[begun:]), f"the member {name}")
        return name

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        member = self.members.pop(name)
        member.send_signal(number)
        member.wait(DEADLINE)

    def draw(self) -> str:
        return self._scene.chance.choice(sorted(self.members))

    def kill_all(self, report: Report) -> list[str]:
        """Kill -9 every member; their names."""
        names = sorted(self.members)
        for name in names:
            self.stop(name, signal.SIGKILL)
            report.kills["member"] += 1
        return names

    def end(self) -> None:
        for member in self.members.values():
            member.kill()
            member.wait(DEADLINE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def add_member(scene: Scene, report: Report) -> None:
    """One more, for which another may have to go: partitions move to it."""
    if len(scene.group.members) >= MOST:
        scene.group.stop(scene.group.draw())
    scene.group.start()
    scene.served_since(time.monotonic(), within=LONG, who=scene.of("reader"))


def remove_member(scene: Scene, report: Report) -> None:
    """SIGTERM: it leaves in good order."""
    if len(scene.group.members) > 1:
        scene.group.stop(scene.group.draw())
    scene.served_since(time.monotonic(), within=LONG, who=scene.of("reader"))


def kill_member(scene: Scene, report: Report) -> None:
    """Kill -9 one, and start it again under its name, where it was or elsewhere: it goes on in its folder."""
    name = scene.group.draw()
    scene.group.stop(name, signal.SIGKILL)
    report.kills["member"] += 1
    begun = time.monotonic()
    time.sleep(scene.chance.uniform(0, 1))
    scene.group.start(name, elsewhere=scene.chance.random() < 0.3)
    report.restarts.append(scene.served_since(begun, within=LONG, who=scene.of("reader")))


def lose_member(scene: Scene, report: Report) -> None:
    """Kill -9 one that does not come back: the others take its partitions once its session is over."""
    if len(scene.group.members) == 1:
        scene.group.start()
    scene.group.stop(scene.group.draw(), signal.SIGKILL)
    report.kills["member"] += 1
    begun = time.monotonic()
    report.restarts.append(scene.served_since(begun, within=LONG, who=scene.of("reader")))


def kill_all_members(scene: Scene, report: Report) -> None:
    """Kill -9 all at once, and start them again."""
    begun = time.monotonic()
    for name in scene.group.kill_all(report):
        scene.group.start(name)
    report.restarts.append(scene.served_since(begun, within=LONG, who=scene.of("reader")))


def stop_member(scene: Scene, report: Report) -> None:
    """SIGSTOP one for a while, now and then for longer than its session lasts, and wake it."""
    member = scene.group.members[scene.group.draw()]
    os.kill(member.pid, signal.SIGSTOP)
    time.sleep(scene.chance.choice([0.5, 2.0, 4.0, 13.0]))
    os.kill(member.pid, signal.SIGCONT)
    scene.served_since(time.monotonic(), within=LONG, who=scene.of("reader"))


def rebalance_at_full_load(scene: Scene, report: Report) -> None:
    """Partitions move, and move back, while a writer writes as fast as it can; now and then a member is killed amid it."""
    writer = scene.start("writer", rate=FULL)
    add_member(scene, report)
    if scene.chance.random() < 0.5:
        kill_member(scene, report)
    remove_member(scene, report)
    scene.retire(writer)
    scene.served_since(time.monotonic(), within=LONG, who=scene.of("reader"))


#: What a group can suffer, with how often it is drawn.
ON_A_GROUP: dict[Action, int] = {
    add_member: 2,
    remove_member: 1,
    kill_member: 5,
    lose_member: 1,
    kill_all_members: 1,
    stop_member: 2,
    rebalance_at_full_load: 3,
}
