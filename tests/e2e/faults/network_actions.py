"""The harm that is done between a view service and its clients on other hosts."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.e2e.faults.actions import PATIENCE, Action
from tests.e2e.faults.proxy import Proxy
from tests.e2e.faults.scene import DEADLINE, ROOT, Scene

if TYPE_CHECKING:
    from tests.e2e.faults.report import Report

SERVE = [sys.executable, "-c", "from eventresults.cli import main; main()", "serve"]


class Network:
    """A service, and the way there. It stands in a scene until that ends."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._log = scene.folder / "stderr-service"
        self._process: subprocess.Popen[bytes] | None = None
        self.proxy = Proxy(self._port)
        scene.stack.callback(self.proxy.close)
        scene.stack.callback(self.end)
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.proxy.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        begun = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as stderr:
            command = [*SERVE, "--url", self._scene.url, "--view", str(self._scene.view), "--port", str(self._port)]
            self._process = subprocess.Popen(command, stderr=stderr, env=self._scene.environment, cwd=ROOT)
        self._scene.until(lambda: re.search("serving", self._log.read_text()[begun:]), "the service")

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE)


def freeze_network(scene: Scene, report: Report) -> None:
    """Packets go nowhere, for less or more than silence lasts."""
    proxy = scene.network.proxy
    proxy.freeze()
    time.sleep(scene.chance.choice([0.5, 1.4, 2.0, 4.0]))
    if scene.chance.random() < 0.5:
        proxy.cut(reset=scene.chance.random() < 0.5)
    proxy.thaw()
    scene.served_since(time.monotonic(), within=PATIENCE, who=scene.of("reader"))


def cut_network(scene: Scene, report: Report) -> None:
    """All connections end at once, and none can be made for a while."""
    proxy = scene.network.proxy
    proxy.refuse(True)
    proxy.cut(reset=scene.chance.random() < 0.5)
    time.sleep(scene.chance.uniform(0.0, 1.5))
    proxy.refuse(False)
    scene.served_since(time.monotonic(), within=PATIENCE, who=scene.of("reader"))


def kill_service(scene: Scene, report: Report) -> None:
    """Kill -9 the service, and start it again."""
    scene.network.end()
    begun = time.monotonic()
    scene.network.start()
    report.kills["service"] += 1
    report.restarts.append(scene.served_since(begun, within=PATIENCE, who=scene.of("reader")))


def stop_service(scene: Scene, report: Report) -> None:
    """SIGSTOP the service, and wake it."""
    os.kill(scene.network.pid, signal.SIGSTOP)
    time.sleep(scene.chance.choice([0.5, 1.4, 3.0]))
    os.kill(scene.network.pid, signal.SIGCONT)
    scene.served_since(time.monotonic(), within=PATIENCE, who=scene.of("reader"))


#: What a network can suffer, with how often it is drawn.
ON_A_NETWORK: dict[Action, int] = {freeze_network: 3, cut_network: 4, kill_service: 2, stop_service: 2}
