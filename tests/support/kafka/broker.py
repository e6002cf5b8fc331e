"""One Kafka node: broker and controller in one process, in a folder of its own."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from kafka.errors import KafkaError

from tests.support.kafka.base import admin_client
from tests.support.kafka.errors import KafkaStartError
from tests.support.kafka.polling import poll
from tests.support.kafka.ports import HOST
from tests.support.kafka.process import Child
from tests.support.kafka.runtime import BROKER, FAST_START, STORAGE_TOOL, format_arguments, java_command
from tests.support.kafka.settings import NodePorts, server_properties

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LOG_TAIL_LINES = 40
_QUESTION_TIMEOUT = 2.0


class Broker:
    """Node `index` of a cluster that listens on `ports`. `folder` will hold its settings, its log and its data."""

    def __init__(
        self,
        index: int,
        ports: Sequence[NodePorts],
        *,
        folder: Path,
        heap_mb: int,
        jvm_options: Sequence[str] = FAST_START,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True)
        self.index = index
        self.address = f"{HOST}:{ports[index].plain}"
        self.log = folder / "log.txt"
        self._port = ports[index].plain
        self._heap_mb = heap_mb
        self._jvm_options = tuple(jvm_options)
        self._properties = folder / "server.properties"
        self._properties.write_text(server_properties(index, ports, data=folder / "data", changes=settings))
        self._child: Child | None = None
        self._formatted = False

    @property
    def formatted(self) -> bool:
        """Whether its data folder has been prepared."""
        return self._formatted

    @property
    def running(self) -> bool:
        """Whether its process is there; a frozen one is."""
        return self._child is not None and self._child.exit_code is None

    @property
    def answering(self) -> bool:
        """Whether its process is there and not frozen."""
        return self.running and self._child is not None and not self._child.paused

    def begin_format(self, *, scram: str | None) -> Child:
        """Start preparing the data folder; to be waited for by `finish_format`."""
        command = java_command(STORAGE_TOOL, *format_arguments(self._properties, scram=scram), heap_mb=128)
        return Child(command, log=self.log)

    def finish_format(self, tool: Child, *, timeout: float) -> None:
        """Wait for the preparation. Raises KafkaStartError."""
        if not tool.wait(timeout):
            tool.kill()
        if tool.exit_code != 0:
            raise KafkaStartError(self.index, "could not prepare its data folder", self.log_tail())
        self._formatted = True

    def launch(self) -> None:
        """Start the process and return at once. Does nothing if it runs."""
        if not self.running:
            command = java_command(BROKER, str(self._properties), heap_mb=self._heap_mb, options=self._jvm_options)
            self._child = Child(command, log=self.log)

    def wait_until_ready(self, peers: set[int], *, timeout: float) -> None:
        """Wait until it answers clients and knows each of `peers` as alive. Raises KafkaStartError."""

        def ready() -> bool:
            if not self.running:
                code = None if self._child is None else self._child.exit_code
                raise KafkaStartError(self.index, f"ended by itself (exit code {code})", self.log_tail())
            return self._listens() and peers <= self._peers_alive()

        try:
            poll(ready, timeout=timeout, what=f"broker {self.index} to be ready")
        except TimeoutError as error:
            raise KafkaStartError(self.index, f"was not ready after {timeout:g} s", self.log_tail()) from error

    def ask_to_end(self) -> None:
        """Send SIGTERM, and return at once. Does nothing if it does not run."""
        if self._child is not None and self.running:
            self._child.ask_to_end()

    def wait_for_end(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds; say whether it is gone."""
        return self._child is None or self._child.wait(timeout)

    def kill(self) -> None:
        """End it at once, and return when it is gone."""
        if self._child is not None:
            self._child.kill()

    def pause(self) -> None:
        """Freeze it. Does nothing if it does not run."""
        if self._child is not None:
            self._child.pause()

    def resume(self) -> None:
        """Let it go on. Does nothing if it does not run."""
        if self._child is not None:
            self._child.resume()

    def log_tail(self) -> str:
        """Return the last 40 lines of its log."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])

    def _listens(self) -> bool:
        # Asked first, because it costs nothing, and a client that is refused grumbles into the test's log.
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self._port)) == 0

    def _peers_alive(self) -> set[int]:
        # The socket opens seconds before requests are answered, so only an answer to a request counts.
        try:
            with admin_client(self.address, timeout=_QUESTION_TIMEOUT) as admin:
                known = admin.describe_cluster()["brokers"]
        except KafkaError:
            return set()
        return {each["broker_id"] for each in known if not each.get("is_fenced", False)}
