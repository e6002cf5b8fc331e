"""The halves of a writer and a reader of a topic that do not depend on the client library."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from eventresults.errors import Closed, LogUnavailable
from eventresults.log.appends import Append
from eventresults.log.base import Poll
from eventresults.log.bounds import check_size
from eventresults.log.brokerlog import BrokerLog
from eventresults.log.forked import leave_to_parent, tell_of_forks
from eventresults.log.outside import recreated
from eventresults.log.placing import Placing

_CLOSE_TIMEOUT = 5.0
_BATCH_OVERHEAD = 1024 + 256  # the longest key, and what a batch of one record adds
_IDENTITY_INTERVAL = 2.0
_IDENTITY_TIMEOUT = 1.0
_GLANCE = 0.001
_SLICE = 0.1  # neither library's consumer can be woken: it waits in slices of this many seconds


class BrokerWriter(ABC):
    """Appends through one producer, made at the first append."""

    def __init__(self, log: BrokerLog) -> None:
        self._log = log
        self._settings = log.settings
        self._in_flight = log.settings.in_flight()
        self._opening = threading.Lock()
        self._producer: Any = None
        self._max_value_bytes = 0
        self._closed = False
        #: For acknowledgements that name no offset.
        self._placing = Placing(log, timeout=log.settings.append_timeout, placed=lambda future: self._in_flight.leave([future]))
        tell_of_forks(self)

    def open(self) -> None:
        """See `EventWriter.open`."""
        if self._producer is None:
            self._opened()

    def append(self, key: bytes, value: bytes, timeout: float | None = None, future: Append | None = None) -> Append:
        """See `EventWriter.append`."""
        producer = self._producer or self._opened()
        check_size(key, value, self._max_value_bytes)
        future = self._in_flight.enter(key, value, timeout, future)
        try:
            self._send(producer, future, value)
        except BaseException:
            self._in_flight.leave([future])
            raise
        return future

    def flush(self, timeout: float) -> bool:
        """See `EventWriter.flush`."""
        return self._in_flight.wait(timeout)

    def close(self) -> None:
        """See `EventWriter.close`."""
        deadline = time.monotonic() + _CLOSE_TIMEOUT
        self._closed = True
        self._in_flight.shut()
        drained = self._in_flight.wait(_CLOSE_TIMEOUT - 0.5) and len(self._in_flight) == 0
        self._in_flight.abandon()
        self._placing.stop()
        with self._opening:
            producer, self._producer = self._producer, None
        if producer is not None:
            self._shut(producer, max(0.5, deadline - time.monotonic()) if drained else 0.0)

    def after_fork_in_child(self) -> None:
        """The producer's threads stayed behind with the parent: this writer is closed here."""
        if self._producer is not None:
            leave_to_parent(self._producer)
            self._producer = None
        self._closed = True
        self._placing.stop()
        self._opening = threading.Lock()
        self._in_flight = self._settings.in_flight()
        self._in_flight.shut()

    @abstractmethod
    def _make(self) -> Any:
        """Make the producer."""

    @abstractmethod
    def _send(self, producer: Any, future: Append, value: bytes) -> None:
        """Hand over a record of `future.key`; what this raises was not handed over."""

    @abstractmethod
    def _shut(self, producer: Any, timeout: float) -> None:
        """Close the producer; what it still holds has been given up."""

    def _was_closed(self) -> Closed:
        return Closed("this writer was closed: make a new one", what=self._settings.url)

    def _opened(self) -> Any:
        with self._opening:
            if self._closed:
                raise self._was_closed()
            if self._producer is None:
                self._log.partition_for(b"")  # reaches the brokers and the topic, or says what is wrong
                self._max_value_bytes = self._limit()
                self._producer = self._make()
            return self._producer

    def _limit(self) -> int:
        # What the topic would refuse is better refused here: the answer comes at once, and leaves the producer's other records alone.
        settings = self._settings
        compressed = settings.compression != "none"
        return settings.max_value_bytes if compressed else min(settings.max_value_bytes, self._log.max_batch_bytes - _BATCH_OVERHEAD)


class BrokerReader(ABC):
    """Reads through one consumer without a group, made at the first poll. What it reads can be changed: see `add` and `drop`."""

    def __init__(self, log: BrokerLog, positions: Mapping[int, int]) -> None:
        self._log = log
        self._settings = log.settings
        self._positions = dict(positions)
        self._using = threading.Lock()
        self._woken = threading.Event()
        self._consumer: Any = None
        self._topic_id = ""
        self._identified = 0.0
        #: Gives the topic's id as it is now, once it is known.
        self._asked: Callable[[], str | None] | None = None
        self._closed = False
        tell_of_forks(self)

    def poll(self, timeout: float) -> Mapping[int, Poll]:
        """See `EventReader.poll`."""
        deadline = time.monotonic() + timeout
        while True:
            with self._using:
                polls = self._slice(max(0.0, min(_SLICE, deadline - time.monotonic())))
            if polls or self._woken.is_set() or time.monotonic() >= deadline:
                self._woken.clear()
                return polls

    def add(self, positions: Mapping[int, int]) -> None:
        """Read these as well, from these offsets; they are not read yet. By the polling thread."""
        with self._using:
            self._positions.update(positions)
            if self._consumer is not None and positions:
                self._follow(self._consumer, positions)

    def drop(self, partitions: Collection[int]) -> None:
        """Do not read these any more; what was said against them is forgotten. By the polling thread."""
        with self._using:
            dropped = [number for number in partitions if self._positions.pop(number, None) is not None]
            if self._consumer is None or not dropped:
                return
            if self._positions:
                self._unfollow(self._consumer, dropped)
                return
            consumer, self._consumer = self._consumer, None
        self._shut(consumer)

    def wake(self) -> None:
        """See `EventReader.wake`: within 100 ms."""
        self._woken.set()

    def close(self) -> None:
        """See `EventReader.close`."""
        self._closed = True
        with self._using:
            consumer, self._consumer = self._consumer, None
        if consumer is not None:
            self._shut(consumer)

    def after_fork_in_child(self) -> None:
        """The connections are the parent's: this reader is closed here."""
        if self._consumer is not None:
            leave_to_parent(self._consumer)
            self._consumer = None
        self._closed = True
        self._using = threading.Lock()

    @abstractmethod
    def _make(self) -> Any:
        """Make the consumer, at the positions."""

    @abstractmethod
    def _follow(self, consumer: Any, positions: Mapping[int, int]) -> None:
        """Have the consumer read these as well, which `self._positions` holds already."""

    @abstractmethod
    def _unfollow(self, consumer: Any, partitions: Sequence[int]) -> None:
        """Have the consumer read these no more, which `self._positions` no longer holds."""

    @abstractmethod
    def _take(self, consumer: Any, timeout: float) -> dict[int, Poll]:
        """Wait for records, and move the positions."""

    @abstractmethod
    def _shut(self, consumer: Any) -> None:
        """Close the consumer."""

    def _slice(self, timeout: float) -> dict[int, Poll]:
        if self._closed:
            raise Closed("this reader was closed: make a new one", what="reader")
        if not self._positions:
            self._woken.wait(timeout)
            return {}
        if self._consumer is None:
            self._topic_id = self._log.topic_for_reader(self._positions, self._settings.connect_timeout).topic_id
            self._identified = time.monotonic()
            self._asked = None
            self._consumer = self._make()
        elif time.monotonic() - self._identified > _IDENTITY_INTERVAL:
            self._identify()
        return self._take(self._consumer, 0.0 if self._woken.is_set() else timeout)

    def _identify(self) -> None:
        # Both libraries fetch by name: they follow a topic that was deleted and created again without a word.
        since = time.monotonic() - self._identified
        try:
            asked, self._asked = self._asked or self._log.ask_topic_id(_IDENTITY_TIMEOUT), None
            while (topic_id := asked()) is None:
                if since < _IDENTITY_INTERVAL + _IDENTITY_TIMEOUT:
                    self._asked = asked  # what comes meanwhile need not wait
                    return
                time.sleep(_GLANCE)  # nobody polled for long: who knows what this would read
        except LogUnavailable:
            return  # an outage: nothing is fetched either, and the next poll asks again
        except Closed:
            return  # the log was closed before its reader: nobody to ask
        if topic_id != self._topic_id:
            number, offset = next(iter(self._positions.items()))
            raise recreated(self._settings.url, number, offset, was=self._topic_id, now=topic_id)
        self._identified = time.monotonic()
