"""What a test broker is told: its server.properties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.kafka.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LARGEST_RECORD_BATCH = 16 * 1024 * 1024
SCRAM_MECHANISM = "SCRAM-SHA-256"

_MAX_REPLICATION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePorts:
    """Where one combined node listens; `sasl` is None for a cluster without logins."""

    plain: int
    controller: int
    sasl: int | None = None


def server_properties(node: int, ports: Sequence[NodePorts], *, data: Path, changes: Mapping[str, str] | None = None) -> str:
    """Return the text of server.properties for node `node` of a cluster with one entry in `ports` per node."""
    mine = ports[node]
    listeners = {"PLAINTEXT": mine.plain, "CONTROLLER": mine.controller}
    if mine.sasl is not None:
        listeners["SASL_PLAINTEXT"] = mine.sasl
    lines = {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": ",".join(f"{i}@{HOST}:{each.controller}" for i, each in enumerate(ports)),
        "controller.listener.names": "CONTROLLER",
        "listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in listeners.items()),
        "listener.security.protocol.map": ("PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT"),
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(data),
        **_replication(len(ports)),
        **_BEHAVIOUR,
        **_SIZE,
        **_SPEED,
        **(_SASL if mine.sasl is not None else {}),
        **(changes or {}),
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def _replication(brokers: int) -> dict[str, str]:
    factor = min(brokers, _MAX_REPLICATION)
    in_sync = max(1, factor - 1)
    return {
        "default.replication.factor": str(factor),
        "min.insync.replicas": str(in_sync),
        "offsets.topic.replication.factor": str(factor),
        "transaction.state.log.replication.factor": str(factor),
        "transaction.state.log.min.isr": str(in_sync),
        "share.coordinator.state.topic.replication.factor": str(factor),
        "share.coordinator.state.topic.min.isr": str(in_sync),
    }


_BEHAVIOUR = {
    # Otherwise a client that merely asks about a deleted topic brings it back.
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    # Room for topics with max.message.bytes of 16 MiB, also between replicas.
    "message.max.bytes": str(LARGEST_RECORD_BATCH),
    "replica.fetch.max.bytes": str(LARGEST_RECORD_BATCH),
    # Clients may choose short sessions, so that a test of a lost consumer need not last.
    "group.min.session.timeout.ms": "500",
}

_SIZE = {
    # 50 partitions each by default, made on first use: seconds, and thousands of files.
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.num.partitions": "3",
    "share.coordinator.state.topic.num.partitions": "3",
    # 128 MiB by default, a third of our heap, claimed by the first compacted topic.
    "log.cleaner.dedupe.buffer.size": str(8 * 1024 * 1024),
}

_SPEED = {
    # A killed broker is missed after 3 s (9 by default); short enough for a test, long enough for a busy machine.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "log.segment.delete.delay.ms": "1000",
}

_SASL = {
    "sasl.enabled.mechanisms": SCRAM_MECHANISM,
    f"listener.name.sasl_plaintext.{SCRAM_MECHANISM.lower()}.sasl.jaas.config": (
        "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    ),
}
