"""A Kafka of our own: one broker or several, as child processes."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.kafka.base import Kafka
from tests.support.kafka.broker import Broker
from tests.support.kafka.ports import HOST, ReservedPorts
from tests.support.kafka.runtime import FAST_START, install
from tests.support.kafka.settings import SCRAM_MECHANISM, NodePorts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0
_LAST_WORDS = 1.0


class KafkaCluster(Kafka):
    """A real Apache Kafka (KRaft; each node both broker and controller) on free ports of 127.0.0.1.

        with KafkaCluster(brokers=3) as kafka:
            kafka.create_topic("orders")

    Entering starts it, leaving ends it. Its data is kept through `stop`, `kill` and `restart`, and deleted by `close`
    unless a `folder` was given. Three brokers keep three replicas and want two in sync; one broker keeps one.
    Topics are not created by themselves. Its processes die with this process, however that ends.
    """

    def __init__(
        self,
        brokers: int = 1,
        sasl: bool = False,
        folder: Path | None = None,
        *,
        user: str = "alice",
        password: str = "alice-secret",
        settings: Mapping[str, str] | None = None,
        jvm_options: Sequence[str] = FAST_START,
    ) -> None:
        """Prepare a cluster that does not run yet.

        `sasl` adds a listener (SASL_PLAINTEXT, SCRAM-SHA-256) that lets in `user` with `password`. `folder` must be
        empty or new. `settings` are lines of server.properties that win over ours. `jvm_options` default to a quick
        start rather than to throughput.
        """
        if brokers < 1:
            message = f"a cluster needs at least one broker, not {brokers}"
            raise ValueError(message)
        self._size = brokers
        self._scram = f"{SCRAM_MECHANISM}=[name={user},password={password}]" if sasl else None
        self._given_folder = folder
        self._settings = dict(settings or {})
        self._jvm_options = tuple(jvm_options)
        self._owner = os.getpid()
        self._reserved: ReservedPorts | None = None
        self._folder: Path | None = None
        self._ports: list[NodePorts] = []
        self._brokers: list[Broker] = []

    # ── where it is ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def bootstrap(self) -> str:
        """Raises RuntimeError before the first `start`."""
        return ",".join(f"{HOST}:{each.plain}" for each in self._known_ports())

    @property
    def sasl_bootstrap(self) -> str:
        """Where clients with a login connect. Raises RuntimeError without `sasl=True`, or before the first `start`."""
        if self._scram is None:
            message = "this cluster was made without sasl=True"
            raise RuntimeError(message)
        return ",".join(f"{HOST}:{each.sasl}" for each in self._known_ports())

    @property
    def folder(self) -> Path:
        """Settings, log and data of each broker, in "broker-0" and so on. Raises RuntimeError before `start`."""
        if self._folder is None:
            message = "the cluster has not been started"
            raise RuntimeError(message)
        return self._folder

    def log_tail(self, broker: int) -> str:
        """Return the last 40 lines of a broker's log."""
        return self._brokers[broker].log_tail()

    def running(self, broker: int) -> bool:
        """Say whether a broker's process is there (a paused one is)."""
        return self._brokers[broker].running

    # ── from start to close ──────────────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:  # Ctrl-C too: nobody would call __exit__.
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        install()
        if not self._brokers:
            self._prepare()
        deadline = time.monotonic() + START_TIMEOUT
        self._format(deadline)
        for each in self._brokers:
            each.launch()
        everyone = set(range(self._size))
        for each in self._brokers:
            each.wait_until_ready(everyone, timeout=max(0.0, deadline - time.monotonic()))

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """End every broker in good order; after `timeout` seconds, by force. The data and the ports stay ours."""
        deadline = time.monotonic() + timeout
        running = [each for each in self._brokers if each.running]
        for each in running:
            each.ask_to_end()
        quorum = self._size // 2 + 1
        while any(each.running for each in running):
            if sum(each.running for each in running) < quorum:
                # A node that ends wants the controllers' leave, and too few of them are left to give it: it would wait
                # for minutes. The first half ended in good order; the others lose nothing that was written.
                deadline = min(deadline, time.monotonic() + _LAST_WORDS)
            if time.monotonic() >= deadline:
                break
            next(each for each in running if each.running).wait_for_end(0.05)
        for each in running:
            each.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """`stop`, then give the ports back and delete the data, unless it is in a folder of yours.

        The next `start` makes a new, empty cluster. May be called again.
        """
        if self._is_ours():
            self.stop()
            self._forget()

    # ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def kill(self, broker: int) -> None:
        self._brokers[broker].kill()

    def start_broker(self, broker: int) -> None:
        self._brokers[broker].launch()
        self._brokers[broker].wait_until_ready({broker}, timeout=START_TIMEOUT)

    def pause(self, broker: int) -> None:
        self._brokers[broker].pause()

    def resume(self, broker: int) -> None:
        self._brokers[broker].resume()

    # ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _known_ports(self) -> list[NodePorts]:
        if not self._ports:
            message = "the cluster has not been started"
            raise RuntimeError(message)
        return self._ports

    def _answering(self) -> str:
        return ",".join(each.address for each in self._brokers if each.answering) or self.bootstrap

    def _may_answer(self, broker: int) -> bool:
        return self._brokers[broker].answering

    def _prepare(self) -> None:
        self._owner = os.getpid()
        atexit.register(self._abandon)
        if self._given_folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="eventresults-kafka-"))
        else:
            self._folder = self._given_folder
        self._reserved = ReservedPorts(3 * self._size)
        numbers = iter(self._reserved.numbers)
        with_login = self._scram is not None
        self._ports = [
            NodePorts(plain=plain, controller=controller, sasl=sasl if with_login else None)
            for plain, controller, sasl in zip(numbers, numbers, numbers, strict=True)
        ]
        self._brokers = [
            Broker(
                index,
                self._ports,
                folder=self._folder / f"broker-{index}",
                heap_mb=512 if self._size == 1 else 384,
                jvm_options=self._jvm_options,
                settings=self._settings,
            )
            for index in range(self._size)
        ]

    def _format(self, deadline: float) -> None:
        tools = [(each, each.begin_format(scram=self._scram)) for each in self._brokers if not each.formatted]
        for each, tool in tools:
            each.finish_format(tool, timeout=max(0.0, deadline - time.monotonic()))

    def _abandon(self) -> None:
        # At exit there is no time for good order.
        if self._is_ours():
            for each in self._brokers:
                each.kill()
            self._forget()

    def _is_ours(self) -> bool:
        # A forked child inherits the exit handler and the `with` block, but not the brokers.
        return os.getpid() == self._owner

    def _forget(self) -> None:
        atexit.unregister(self._abandon)
        self._brokers, self._ports = [], []
        if self._reserved is not None:
            self._reserved.release()
            self._reserved = None
        if self._folder is not None and self._given_folder is None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None
