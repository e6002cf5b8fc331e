"""A log in a Kafka topic, whatever client talks to the brokers: `KafkaLog` and `ConfluentLog` add theirs."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from eventresults.errors import Closed, LogUnavailable, TopicMisconfigured, ViewStale
from eventresults.log.base import EventReader, EventWriter, LogInfo, Record
from eventresults.log.brokers import BrokerSettings
from eventresults.log.forked import tell_of_forks
from eventresults.log.membership import (
    DEFAULT_HEARTBEAT_INTERVAL,
    DEFAULT_SESSION_TIMEOUT,
    DEFAULT_STALL_TIMEOUT,
    GroupListener,
    GroupSettings,
    Holding,
    Membership,
    addresses,
)
from eventresults.log.outside import no_such_partition, outside
from eventresults.log.partition import partition_of
from eventresults.log.topic import MAX_MESSAGE_BYTES, Problem, TopicDescription, check, config_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from eventresults.domain.position import Position


class Asker(Protocol):
    """The questions that a log asks its brokers. Every method waits at most `timeout` seconds and raises `LogError`."""

    def describe(self, timeout: float) -> TopicDescription:
        """What the topic is; raises `TopicMisconfigured` if there is none."""

    def create(self, partitions: int, replication: int, config: Mapping[str, str], timeout: float) -> None:
        """Create the topic, and return once it can be used; -1 replicas: as the brokers have it. One that exists is fine."""

    def topic_id(self, timeout: float) -> str:
        """The id of the topic of this name as it is now."""

    def ask_topic_id(self, timeout: float) -> Callable[[], str | None]:
        """Ask for it, and return at once. What this returns gives the answer, None while there is none; it raises what `topic_id` does."""

    def starts(self, partitions: Sequence[int], timeout: float) -> dict[int, int]:
        """The first offset of each partition. From any thread."""

    def ends(self, partitions: Sequence[int], timeout: float) -> dict[int, int]:
        """The end of each partition, asked of the brokers after this call began. From any thread."""

    def read(self, position: Position, timeout: float) -> Record | None:
        """The first record at or after this position, which lies before the end. By one thread at a time."""

    def holdings(self, group_id: str, timeout: float) -> list[Holding]:
        """Which member of the group is assigned what; empty for a group that is between two assignments, or is none."""

    def leave_to_parent(self) -> None:
        """In a forked child: never touch the connections again."""

    def close(self) -> None:
        """Idempotent."""


class BrokerLog(ABC):
    """A topic as a log. `settings` are those of `BrokerSettings`."""

    def __init__(self, servers: str | Sequence[str], topic: str, **settings: Any) -> None:
        self.settings = BrokerSettings(servers=servers, topic=topic, **settings)
        self._opening = threading.Lock()
        self._reading = threading.Lock()
        self._asker: Asker | None = None
        self._partitions = 0
        self.max_batch_bytes = MAX_MESSAGE_BYTES  # the topic's, once it is known
        self._closed = False
        tell_of_forks(self)

    @property
    def url(self) -> str:
        """See `Log.url`."""
        return self.settings.url

    def info(self, timeout: float) -> LogInfo:
        """See `Log.info`. `log_id` is the id that the brokers gave the topic."""
        deadline = time.monotonic() + timeout
        asker = self._asked(timeout)
        topic = asker.describe(_left(deadline))
        numbers = range(topic.partitions)
        starts = asker.starts(numbers, _left(deadline))
        return LogInfo(topic.topic_id, topic.partitions, starts, asker.ends(numbers, _left(deadline)))

    def partition_for(self, key: bytes) -> int:
        """See `Log.partition_for`."""
        if not self._partitions:
            self._asked(self.settings.connect_timeout)
        return partition_of(key, self._partitions)

    def ends(self, partitions: Sequence[int], timeout: float) -> Mapping[int, int]:
        """See `Log.ends`."""
        deadline = time.monotonic() + timeout
        asker = self._asked(timeout)
        for number in partitions:
            if not 0 <= number < self._partitions:
                raise no_such_partition(self.url, number, self._partitions)
        return asker.ends(partitions, _left(deadline)) if partitions else {}

    def read(self, position: Position, timeout: float) -> Record | None:
        """See `Log.read`."""
        deadline = time.monotonic() + timeout
        asker = self._asked(timeout)
        number = position.partition
        if not 0 <= number < self._partitions:
            return None
        start = asker.starts([number], _left(deadline))[number]
        if not start <= position.offset < asker.ends([number], _left(deadline))[number]:
            return None
        if not self._reading.acquire(timeout=_left(deadline)):
            raise LogUnavailable(f"{self.url} was not read within {timeout:g} s: try again", url=self.url, reason="timeout")
        try:
            found = asker.read(position, _left(deadline))
        finally:
            self._reading.release()
        return found if found is not None and found.offset == position.offset else None

    @abstractmethod
    def writer(self) -> EventWriter:
        """See `Log.writer`."""

    @abstractmethod
    def reader(self, positions: Mapping[int, int]) -> EventReader:
        """See `Log.reader`."""

    def join(
        self,
        group_id: str,
        listener: GroupListener,
        *,
        address: str,
        instance_id: str | None = None,
        session_timeout: float = DEFAULT_SESSION_TIMEOUT,
        heartbeat_interval: float = DEFAULT_HEARTBEAT_INTERVAL,
        stall_timeout: float = DEFAULT_STALL_TIMEOUT,
    ) -> Membership:
        """See `GroupLog.join`."""
        self._check_open()
        group = GroupSettings(
            group_id=group_id,
            address=address,
            instance_id=instance_id,
            session_timeout=session_timeout,
            heartbeat_interval=heartbeat_interval,
            stall_timeout=stall_timeout,
        )
        return self._enter(group, listener)

    def owners(self, group_id: str, timeout: float) -> Mapping[int, str]:
        """See `GroupLog.owners`."""
        deadline = time.monotonic() + timeout
        return addresses(self._asked(timeout).holdings(group_id, _left(deadline)), self.settings.topic)

    def close(self) -> None:
        """See `Log.close`."""
        self._closed = True
        with self._opening:
            asker, self._asker = self._asker, None
        if asker is not None:
            asker.close()

    def create_topic(
        self,
        *,
        partitions: int = 1,
        replication: int | None = None,
        retention: float | None = None,
        timeout: float = 30.0,
    ) -> TopicDescription:
        """Create the topic as we want it, and say what it is; one that exists is left as it is.

        `replication` None: as the brokers have it. `retention` in seconds, 0: for ever, None: 32 days or what `result_expires` asks
        for. The number of partitions is for ever: more would send a task's later facts elsewhere than its earlier ones.
        """
        deadline = time.monotonic() + timeout
        asker = self._connect(timeout)
        try:
            self._create(asker, partitions, replication, retention, _left(deadline))
            return asker.describe(_left(deadline))
        finally:
            asker.close()

    def describe_topic(self, timeout: float = 10.0) -> TopicDescription:
        """What the brokers say of the topic. Raises as `info` does."""
        return self._asked(timeout).describe(timeout)

    def check_topic(self, timeout: float = 10.0) -> list[Problem]:
        """What is wrong with the topic: see `eventresults.log.topic.check`."""
        settings = self.settings
        description = self.describe_topic(timeout)
        return check(description, max_value_bytes=settings.max_value_bytes, result_expires=settings.result_expires)

    def stale(self, partition: int, position: int, reason: object) -> ViewStale:
        """The error for a reader that the brokers refused this position, with the bounds as they are now."""
        timeout = self.settings.connect_timeout
        asker = self._asker or self._connect(timeout)
        try:
            start, end = asker.starts([partition], timeout)[partition], asker.ends([partition], timeout)[partition]
        finally:
            if asker is not self._asker:
                asker.close()
        error = outside(self.url, partition, position, start=start, end=end)
        error.facts["refusal"] = str(reason)
        return error

    def topic_for_reader(self, positions: Mapping[int, int], timeout: float) -> TopicDescription:
        """What a reader must know before it begins. Raises `ViewStale` for a partition that is not there."""
        topic = self._asked(timeout).describe(timeout)
        for number, offset in positions.items():
            if not 0 <= number < topic.partitions:
                raise outside(self.url, number, offset, start=0, end=0)
        return topic

    def topic_id(self, timeout: float) -> str:
        """The id of the topic of this name as it is now. Raises as `info` does."""
        return self._asked(timeout).topic_id(timeout)

    def ask_topic_id(self, timeout: float) -> Callable[[], str | None]:
        """See `Asker.ask_topic_id`."""
        return self._asked(timeout).ask_topic_id(timeout)

    def after_fork_in_child(self) -> None:
        """Connect anew at the next question."""
        if self._asker is not None:
            self._asker.leave_to_parent()
            self._asker = None
        self._opening = threading.Lock()
        self._reading = threading.Lock()

    @abstractmethod
    def _enter(self, group: GroupSettings, listener: GroupListener) -> Membership:
        """A new member of the group."""

    @abstractmethod
    def _connect(self, timeout: float) -> Asker:
        """Reach a broker."""

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("this log was closed: make a new one", what=self.url)

    def _asked(self, timeout: float) -> Asker:
        asker = self._asker
        if asker is not None:
            return asker
        deadline = time.monotonic() + timeout
        if not self._opening.acquire(timeout=max(0.0, timeout)):
            raise LogUnavailable(f"{self.url} was not reached within {timeout:g} s: try again", url=self.url, reason="timeout")
        try:
            self._check_open()
            if self._asker is None:
                self._asker = self._opened(deadline)
            return self._asker
        finally:
            self._opening.release()

    def _opened(self, deadline: float) -> Asker:
        asker = self._connect(min(_left(deadline), self.settings.connect_timeout))
        try:
            try:
                topic = asker.describe(_left(deadline))
            except TopicMisconfigured:
                if not self.settings.create_topic:
                    raise
                self._create(asker, self.settings.partitions, self.settings.replication, None, _left(deadline))
                topic = asker.describe(_left(deadline))
        except BaseException:
            asker.close()
            raise
        self._partitions = topic.partitions
        self.max_batch_bytes = max(1024, int(topic.config.get("max.message.bytes") or MAX_MESSAGE_BYTES))
        return asker

    def _create(self, asker: Asker, partitions: int, replication: int | None, retention: float | None, timeout: float) -> None:
        settings = self.settings
        config = config_for(
            max_value_bytes=settings.max_value_bytes,
            replication=replication or -1,
            retention=retention,
            result_expires=settings.result_expires,
        )
        asker.create(partitions, replication or -1, config, timeout)


def _left(deadline: float) -> float:
    return max(0.001, deadline - time.monotonic())
