"""What a test may ask of a Kafka, whoever runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError, UnknownTopicOrPartitionError

from tests.support.kafka.polling import poll

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ADMIN_TIMEOUT = 15.0
"""Seconds that an administrative call may take before it raises."""


class Kafka(ABC):
    """A Kafka to test against. Administrative calls return once their effect can be seen; they raise KafkaError,
    or TimeoutError after 15 s. A broker is named by its index, which is also its node id.
    """

    @property
    @abstractmethod
    def bootstrap(self) -> str:
        """Where clients without a login connect: "127.0.0.1:port", several of them joined by commas."""

    def url(self, topic: str) -> str:
        """Return the URL of a topic, as eventresults takes it: "kafka://127.0.0.1:port/topic"."""
        return f"kafka://{self.bootstrap}/{topic}"

    # ── topics ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def create_topic(
        self,
        name: str,
        partitions: int = 1,
        configs: Mapping[str, object] | None = None,
        replication: int | None = None,
    ) -> None:
        """Make a topic and wait until each partition has a leader.

        `configs` are Kafka's own names ("max.message.bytes"); True and False become "true" and "false". `replication`
        None means as many replicas as there are brokers, at most three. Raises TopicAlreadyExistsError.
        """
        wanted = {
            "num_partitions": partitions,
            "replication_factor": -1 if replication is None else replication,
            "configs": {key: _setting(value) for key, value in (configs or {}).items()},
        }
        with self._admin() as admin:
            admin.create_topics({name: wanted}, timeout_ms=int(ADMIN_TIMEOUT * 1000))
            _wait_for_leaders(admin, name, partitions)

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until it is gone. Does nothing if there is none of that name."""
        with self._admin() as admin:
            try:
                admin.delete_topics([name], timeout_ms=int(ADMIN_TIMEOUT * 1000))
            except UnknownTopicOrPartitionError:
                return
            poll(lambda: name not in admin.list_topics(), timeout=ADMIN_TIMEOUT, what=f"topic {name} to go")

    def add_partitions(self, topic: str, total: int) -> None:
        """Let a topic have `total` partitions (more than now), and wait until the new ones have leaders."""
        with self._admin() as admin:
            admin.create_partitions({topic: total}, timeout_ms=int(ADMIN_TIMEOUT * 1000))
            _wait_for_leaders(admin, topic, total)

    def delete_records(self, topic: str, before: Mapping[int, int]) -> None:
        """Do at once what retention does some day: for each partition, drop all records before the offset given.

        The offset is then the partition's first; -1 stands for its end. Raises OffsetOutOfRangeError beyond the end.
        """
        with self._admin() as admin:
            admin.delete_records(
                {TopicPartition(topic, partition): offset for partition, offset in before.items()},
                timeout_ms=int(ADMIN_TIMEOUT * 1000),
            )

    def leader(self, topic: str, partition: int = 0) -> int:
        """Return the index of the broker that leads a partition, waiting for one to be elected.

        A broker that was killed or paused through this object is not taken for a leader, though for some three seconds
        the others may still think so.
        """

        def leader() -> int | None:
            node: int = _partitions(admin, topic).get(partition, {}).get("leader_id", -1)
            return node if node >= 0 and self._may_answer(node) else None

        with self._admin() as admin:
            return poll(leader, timeout=ADMIN_TIMEOUT, what=f"a leader of {topic}-{partition}")

    def wait_until_in_sync(self, topic: str, *, timeout: float = 30.0) -> None:
        """Wait until every replica of the topic is in sync: from then on, any one broker may be killed.

        Raises TimeoutError after `timeout` seconds.
        """

        def in_sync() -> bool:
            partitions = _partitions(admin, topic)
            return bool(partitions) and all(set(each["isr_nodes"]) == set(each["replica_nodes"]) for each in partitions.values())

        with self._admin() as admin:
            poll(in_sync, timeout=timeout, what=f"the replicas of {topic} to catch up")

    # ── brokers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def start(self) -> None:
        """Start every broker that is not running, and wait until they can all be used. Raises KafkaStartError."""

    @abstractmethod
    def stop(self) -> None:
        """End every broker in good order, or by force where that takes too long. The data stays."""

    @abstractmethod
    def restart(self) -> None:
        """`stop`, then `start`: same ports, same data."""

    @abstractmethod
    def kill(self, broker: int) -> None:
        """End a broker at once (SIGKILL), and return when it is gone. Does nothing if it is."""

    @abstractmethod
    def start_broker(self, broker: int) -> None:
        """Start a broker that was killed or stopped, and wait until it can be used. Raises KafkaStartError."""

    @abstractmethod
    def pause(self, broker: int) -> None:
        """Freeze a broker (SIGSTOP): it takes connections and answers nothing."""

    @abstractmethod
    def resume(self, broker: int) -> None:
        """Let a frozen broker go on."""

    @contextmanager
    def _admin(self) -> Iterator[Any]:
        # A client for each call: it costs milliseconds, and none has to survive a test's killing and restarting.
        with admin_client(self._answering(), timeout=ADMIN_TIMEOUT) as admin:
            yield admin

    def _answering(self) -> str:
        # A part of `bootstrap`: asking a frozen broker costs seconds, and one that is gone a warning about a socket.
        return self.bootstrap

    def _may_answer(self, broker: int) -> bool:
        return broker >= 0


def admin_client(bootstrap: str, *, timeout: float, **options: object) -> Any:
    """Return a connected KafkaAdminClient, to be closed; raises KafkaError if nobody answers for `timeout` seconds."""
    admin = KafkaAdminClient.__new__(KafkaAdminClient)
    try:
        _connect(admin, bootstrap, timeout, options)
    except BaseException:
        # A constructor that fails leaves its thread and its sockets behind, and `close` believes there is nothing to do.
        admin._closed = False
        admin.close()
        raise
    return admin


def _connect(admin: Any, bootstrap: str, timeout: float, options: Mapping[str, object]) -> None:
    admin.__init__(
        bootstrap_servers=bootstrap.split(","),
        client_id="eventresults-test-harness",
        bootstrap_timeout_ms=int(timeout * 1000),
        request_timeout_ms=int(timeout * 1000),
        reconnect_backoff_max_ms=200,
        **options,
    )


def _wait_for_leaders(admin: Any, topic: str, partitions: int) -> None:
    def complete() -> bool:
        known = _partitions(admin, topic)
        return len(known) == partitions and all(each["leader_id"] >= 0 for each in known.values())

    poll(complete, timeout=ADMIN_TIMEOUT, what=f"{partitions} partitions of {topic} with a leader")


def _partitions(admin: Any, topic: str) -> dict[int, dict[str, Any]]:
    try:
        (found,) = admin.describe_topics([topic])
    except KafkaError:
        return {}  # The broker asked may just have gone; whoever polls asks another.
    return {each["partition_index"]: each for each in found["partitions"]}


def _setting(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
