"""The half of a membership in a Kafka consumer group that does not depend on the client library.

A member has two consumers. One sits in the group and reads nothing; a thread of its own polls it, so that neither a slow fold nor the
opening of a shard is ever mistaken for a dead member. The other is the plain reader, which goes on while the group moves partitions about.
"""

from __future__ import annotations

import copy
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from time import monotonic
from typing import Any, NamedTuple

from eventresults.errors import Closed, EventResultsError, LogError, LogUnavailable
from eventresults.log.base import Poll
from eventresults.log.brokerclients import BrokerReader
from eventresults.log.brokerlog import BrokerLog
from eventresults.log.brokers import BrokerSettings
from eventresults.log.forked import leave_to_parent, tell_of_forks
from eventresults.log.membership import GroupListener, GroupSettings

logger = logging.getLogger(__name__)

SLICE_SECONDS = 0.1
COMMIT_SECONDS = 1.0
JOIN_SECONDS = 4.0
BACKOFF_SECONDS = (0.1, 5.0)

#: Error codes of the Kafka protocol; both clients use its numbers.
FENCED = 82
_CURES = {
    23: "a consumer of another kind is in the group: every member must use the assignor cooperative-sticky, so name a group of our own",
    24: "the group's name cannot be used: choose another",
    26: "the brokers do not allow this session timeout: they take 6 s to 30 min, unless group.min.session.timeout.ms says otherwise",
    30: "this user may not use the group: allow it to READ and DESCRIBE the group",
    81: "the group is full: raise the brokers' group.max.size",
    FENCED: "another process joined as the same instance: give each its own instance_id, and close this one",
}


class _Start(NamedTuple):
    number: int
    offset: int


class BrokerMembership(ABC):
    """One member of a consumer group."""

    def __init__(self, log: BrokerLog, reader: BrokerReader, group: GroupSettings, listener: GroupListener) -> None:
        self._log = log
        self._settings = log.settings
        self._group = group
        self._listener = listener
        self._reader = reader
        self._lock = threading.Lock()
        self._assigned: frozenset[int] = frozenset()
        # What shall be read, and (the polling thread's) what the reader reads. Starts are numbered: none is mistaken for a later one.
        self._started: dict[int, _Start] = {}
        self._reading: dict[int, _Start] = {}
        self._starts = 0
        self._uncommitted: dict[int, int] = {}
        self._committed = monotonic()
        self._polled = monotonic()
        self._trouble: EventResultsError | None = None
        self._consumer: Any = None
        self._closed = False
        self._stop = threading.Event()
        tell_of_forks(self)
        self._thread = threading.Thread(target=self._run, name="eventresults-membership", daemon=True)
        self._thread.start()

    @property
    def assigned(self) -> frozenset[int]:
        """See `Membership.assigned`."""
        return self._assigned

    def start(self, positions: Mapping[int, int]) -> frozenset[int]:
        """See `Membership.start`."""
        with self._lock:
            ours = self._assigned.intersection(positions)
            for partition in ours:
                self._starts += 1
                self._started[partition] = _Start(self._starts, positions[partition])
        self._reader.wake()
        return ours

    def stop(self, partitions: Collection[int]) -> None:
        """See `Membership.stop`."""
        with self._lock:
            self._forget(partitions)
        self._reader.wake()

    def poll(self, timeout: float) -> Mapping[int, Poll]:
        """See `Membership.poll`."""
        self._polled = monotonic()
        with self._lock:
            self._check()
            wanted = dict(self._started)
        if wanted != self._reading:
            self._redirect(wanted)
        polls = self._reader.poll(timeout)
        with self._lock:
            return {partition: poll for partition, poll in polls.items() if self._started.get(partition) == self._reading[partition]}

    def commit(self, positions: Mapping[int, int]) -> None:
        """See `Membership.commit`."""
        with self._lock:
            self._uncommitted.update({partition: offset for partition, offset in positions.items() if partition in self._assigned})

    def wake(self) -> None:
        """See `Membership.wake`."""
        self._reader.wake()

    def close(self) -> None:
        """See `Membership.close`."""
        self._closed = True
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)
        self._reader.close()

    def after_fork_in_child(self) -> None:
        """The place in the group is the parent's: this membership is closed here. The reader closes itself."""
        if self._consumer is not None:
            leave_to_parent(self._consumer)
            self._consumer = None
        self._closed = True
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._stop.set()
        self._assigned = frozenset()
        self._started = {}

    @abstractmethod
    def _enter(self) -> Any:
        """Make the consumer that sits in the group."""

    @abstractmethod
    def _attend(self, consumer: Any, timeout: float) -> None:
        """Let the group have a word with it, for about `timeout` seconds: `_take`, `_give` and `_lose` are called meanwhile."""

    @abstractmethod
    def _send(self, consumer: Any, positions: Mapping[int, int]) -> None:
        """Commit these offsets, waiting for nothing."""

    @abstractmethod
    def _exit(self, consumer: Any) -> None:
        """Close the consumer, and wait a second at most for the group to hear of it."""

    # What the group decides

    def _take(self, partitions: frozenset[int]) -> None:
        with self._lock:
            new = partitions - self._assigned
            self._assigned |= new
        self._tell(self._listener.assigned, new)

    def _give(self, partitions: frozenset[int]) -> None:
        self._tell(self._listener.revoked, self._unassign(partitions))

    def _lose(self, partitions: frozenset[int]) -> None:
        self._tell(self._listener.lost, self._unassign(partitions))

    def _unassign(self, partitions: frozenset[int]) -> frozenset[int]:
        with self._lock:
            old = partitions & self._assigned
            self._assigned -= old
            self._forget(old)
        self._reader.wake()
        return old

    def _forget(self, partitions: Collection[int]) -> None:
        for partition in partitions:
            self._started.pop(partition, None)
            self._uncommitted.pop(partition, None)

    def _tell(self, listener: Callable[[frozenset[int]], None], partitions: frozenset[int]) -> None:
        if not partitions:
            return
        try:
            listener(partitions)
        except Exception:
            logger.exception("a listener of group %s failed", self._group.group_id)

    # Reading: the polling thread

    def _check(self) -> None:
        if self._closed:
            raise Closed("this membership was closed: join again", what=self._group.group_id)
        trouble = self._trouble
        if trouble is not None and (_is_final(trouble) or not self._started):
            raise copy.copy(trouble)

    def _redirect(self, wanted: dict[int, _Start]) -> None:
        self._reader.drop([partition for partition, start in self._reading.items() if wanted.get(partition) != start])
        self._reader.add({partition: start.offset for partition, start in wanted.items() if self._reading.get(partition) != start})
        self._reading = wanted

    # Sitting in the group: its own thread

    def _run(self) -> None:
        shortest, longest = BACKOFF_SECONDS
        pause = shortest
        while not self._stop.is_set():
            try:
                self._sit()
            except Exception as error:  # noqa: BLE001 - told to whoever polls
                self._take_trouble(error)
                if self._trouble is not None and _is_final(self._trouble):
                    break
                self._stop.wait(pause)
                pause = min(pause * 2, longest)
            else:
                pause = shortest
                self._trouble = None
        self._leave()

    def _sit(self) -> None:
        if monotonic() - self._polled > self._group.stall_timeout:
            if self._consumer is not None:
                logger.error(
                    "group %s: nothing was polled for %g s, so that this member leaves and others take over; see what holds it up",
                    self._group.group_id,
                    self._group.stall_timeout,
                )
                self._leave()
            self._stop.wait(SLICE_SECONDS)
            return
        if self._consumer is None:
            self._log.topic_for_reader({}, self._settings.connect_timeout)  # the topic is there, or we say what is wrong
            self._consumer = self._enter()
        self._attend(self._consumer, SLICE_SECONDS)
        if monotonic() - self._committed > COMMIT_SECONDS:
            self._send_commits(self._consumer)

    def _send_commits(self, consumer: Any) -> None:
        with self._lock:
            positions, self._uncommitted = self._uncommitted, {}
        self._committed = monotonic()
        if positions:
            self._send(consumer, positions)

    def _leave(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        try:
            self._send_commits(consumer)
            self._exit(consumer)
        except Exception as error:  # noqa: BLE001 - the brokers will miss it after the session timeout
            logger.warning("group %s was left without a word: %r", self._group.group_id, error)
        self._give(self._assigned)  # what the library did not say itself

    def _take_trouble(self, error: Exception) -> None:
        known = isinstance(error, EventResultsError)
        trouble = error if isinstance(error, EventResultsError) else LogError(f"the membership failed: {error!r}", reason=repr(error))
        if self._trouble is None or str(self._trouble) != str(trouble):
            logger.log(logging.WARNING if known else logging.ERROR, "group %s: %s", self._group.group_id, trouble, exc_info=not known)
        self._trouble = trouble
        self._reader.wake()
        if not known or _is_final(trouble):
            self._lose(self._assigned)
            self._leave()


def group_failure(settings: BrokerSettings, group: GroupSettings, code: int | None) -> LogError | None:
    """The error for a member that the group refuses with this code; None for codes that say nothing about groups."""
    cure = _CURES.get(code or 0)
    if cure is None:
        return None
    who = f"instance {group.instance_id}" if group.instance_id else "this member"
    message = f"group {group.group_id} of {settings.url} refused {who}: {cure}"
    if code == FENCED:
        return LogError(message, reason="fenced", group=group.group_id, instance=group.instance_id)
    return LogUnavailable(message, url=settings.url, reason="refused")


def _is_final(trouble: EventResultsError) -> bool:
    return trouble.facts.get("reason") == "fenced"
