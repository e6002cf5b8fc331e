"""The view of a consumer group: every key has its member, and the group itself says which.

Who has which partition is asked of Kafka, and asked again whenever a member says that it is not the one, or says nothing more. What is
watched follows its partition: a thread places it with the new member, from where the old one was.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any, Final, TypeVar

from eventresults.codec.ids import key_of
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position
from eventresults.errors import Closed, EventResultsError, LogError, NotOwner, ViewUnavailable
from eventresults.log.forked import tell_of_forks
from eventresults.log.membership import GroupLog
from eventresults.log.own import OwnWrites
from eventresults.reading import RemoteReader
from eventresults.service.links import Link
from eventresults.service.missed import tell_missed_revokes
from eventresults.view.base import Fact, Freshness, Listener, Subscription, TaskPage
from eventresults.view.channel import Gone, Silent
from eventresults.view.listeners import Listeners
from eventresults.view.listing import merged

logger = logging.getLogger(__name__)

#: Between two questions to the group while a partition is on its way.
PAUSE_SECONDS: Final = (0.02, 0.5)
#: How long one member may take to let us in.
CONNECT_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 0.1
JOIN_SECONDS: Final = 4.0
#: Members asked at the same time.
ASKED_AT_ONCE: Final = 16

T = TypeVar("T")


class GroupView:
    """A `ViewReader` over all members of a consumer group. Nothing is asked before the first call. Any thread.

    Every method raises `ViewUnavailable` when no member serves what is asked for within its timeout.
    """

    def __init__(
        self, log: GroupLog, own: OwnWrites, *, group: str, token: str | None, read_timeout: float, connect_timeout: float
    ) -> None:
        self.listeners = Listeners()
        self._log = log
        self._own = own
        self._group = group
        self._token = token
        self._read_timeout = read_timeout
        self._connect_timeout = connect_timeout
        self._closed = False
        self._begin()
        tell_of_forks(self)

    def _begin(self) -> None:
        self._count = 0
        self._routes: Mapping[int, str] = {}
        self._links: dict[str, Link] = {}
        self._connecting: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._asked = 0
        self._pool = ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="eventresults-group-read")
        #: Where the ids of each partition are watched, and before which offset its listeners were told everything.
        self._watched_at: dict[int, Link] = {}
        self._told: dict[int, int] = {}
        self._log_id: str | None = None
        self._to_place: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._placing: threading.Thread | None = None
        self.listeners.on_fewer = self._unwatch
        self.listeners.on_revokes = lambda: self._place(self._partitions())

    # Reading

    def get(self, task_id: str, *, freshness: Freshness = "default", timeout: float | None = None) -> TaskMeta | None:
        """See `ViewReader.get`."""
        return self._of(task_id, lambda reader, left: reader.get(task_id, freshness=freshness, timeout=left), timeout)

    def get_many(
        self, task_ids: Sequence[str], *, freshness: Freshness = "default", timeout: float | None = None
    ) -> dict[str, TaskMeta | None]:
        """See `ViewReader.get_many`."""
        found: dict[str, TaskMeta | None] = dict.fromkeys(task_ids)
        by_partition: dict[int, list[str]] = {}
        for task_id in found:
            by_partition.setdefault(self._log.partition_for(key_of(task_id)), []).append(task_id)
        deadline = self._deadline(timeout)
        while by_partition:
            by_link: dict[Link, list[int]] = {}
            for partition in by_partition:
                by_link.setdefault(self._link(partition, deadline), []).append(partition)
            asked = {
                link: [task_id for partition in partitions for task_id in by_partition[partition]] for link, partitions in by_link.items()
            }

            def ask(link: Link, asked: Mapping[Link, list[str]] = asked) -> dict[str, TaskMeta | None] | EventResultsError:
                try:
                    return link.reader.get_many(asked[link], freshness=freshness, timeout=max(deadline - monotonic(), 0.0))
                except (NotOwner, ViewUnavailable) as error:
                    return error

            for link, answer in zip(asked, self._each(ask, list(asked)), strict=True):
                if isinstance(answer, EventResultsError):
                    self._misled(by_link[link], link, answer, deadline)
                else:
                    found |= answer
                    for partition in by_link[link]:
                        del by_partition[partition]
        return found

    def group(self, group_id: str, *, freshness: Freshness = "default", timeout: float | None = None) -> GroupMeta | None:
        """See `ViewReader.group`."""
        return self._of(group_id, lambda reader, left: reader.group(group_id, freshness=freshness, timeout=left), timeout)

    def history(self, subject: str, *, freshness: Freshness = "default", timeout: float | None = None) -> list[Fact]:
        """See `ViewReader.history`."""
        return self._of(subject, lambda reader, left: reader.history(subject, freshness=freshness, timeout=left), timeout)

    def recent(
        self,
        *,
        state: str | None = None,
        name: str | None = None,
        since: int | None = None,
        until: int | None = None,
        limit: int = 100,
        cursor: str | None = None,
        freshness: Freshness = "default",
        timeout: float | None = None,
    ) -> TaskPage:
        """See `ViewReader.recent`."""
        deadline = self._deadline(timeout)
        query = {"state": state, "name": name, "since": since, "until": until, "limit": limit, "cursor": cursor}
        while True:
            by_link: dict[Link, list[int]] = {}
            for partition in self._partitions():
                by_link.setdefault(self._link(partition, deadline), []).append(partition)

            def ask(link: Link, by_link: Mapping[Link, list[int]] = by_link) -> TaskPage | EventResultsError:
                try:
                    return link.reader.recent_of(by_link[link], query, freshness=freshness, timeout=max(deadline - monotonic(), 0.0))
                except (NotOwner, ViewUnavailable) as error:
                    return error

            pages = []
            for link, page in zip(by_link, self._each(ask, list(by_link)), strict=True):
                if isinstance(page, EventResultsError):
                    self._misled(by_link[link], link, page, deadline)
                else:
                    pages.append(page)
            if len(pages) == len(by_link):
                return merged(pages, limit)

    def wait_until(self, position: Position, timeout: float | None = None) -> bool:
        """See `FreshReader.wait_until`."""
        return self._at(position.partition, lambda reader, left: reader.wait_until(position, left), timeout)

    def ask(self, what: str, timeout: float, **arguments: Any) -> Any:
        """`stats` of all members as one."""
        if what != "stats":
            raise ViewUnavailable(f"A group cannot be asked for {what!r}: do that with one of its members.", services=[], reason="group")
        deadline = monotonic() + timeout
        links = list(dict.fromkeys(self._link(partition, deadline) for partition in self._partitions()))
        found = self._each(lambda link: link.reader.ask(what, arguments, max(deadline - monotonic(), 0.001)), links)
        members = [
            {**{name: value for name, value in one.items() if name != "partitions"}, "address": link.address}
            for one, link in zip(found, links, strict=True)
        ]
        partitions = sorted((p for one in found for p in one["partitions"]), key=lambda one: one["partition"])
        return {"path": f"group {self._group}", "generation": None, "log": self._log.url, "members": members, "partitions": partitions}

    def open(self) -> None:
        """Find a member for every partition now. Raises `ViewUnavailable`, and what the log raises."""
        deadline = monotonic() + self._connect_timeout
        for partition in self._partitions():
            self._link(partition, deadline)

    # Watching

    def subscribe(self, subjects: Iterable[str], listener: Listener) -> Subscription:
        """See `ViewReader.subscribe`."""
        self._check_open()
        ids = list(dict.fromkeys(subjects))
        by_partition: dict[int, list[str]] = {}
        for one in ids:
            by_partition.setdefault(self._log.partition_for(key_of(one)), []).append(one)
        subscription = self.listeners.add(ids, listener)
        for partition, these in by_partition.items():
            link = self._watched_at.get(partition)
            if link is None:
                self._place([partition])
            else:
                # If it is lost just now, all that is listened to moves, from before this moment.
                link.watch(these, None)
        return subscription

    def open_revokes(self, listener: Listener) -> Subscription:
        """See `ViewReader.open_revokes`."""
        self._check_open()
        return self.listeners.add_for_revokes(listener)

    def close(self) -> None:
        """Close every connection. Idempotent."""
        with self._lock:
            self._closed = True
            links, self._links = list(self._links.values()), {}
            placing = self._placing
        self._to_place.put(None)
        for link in links:
            link.close()
        if placing is not None and placing is not threading.current_thread():
            placing.join(JOIN_SECONDS)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def after_fork_in_child(self) -> None:
        """The connections, and who listens, are the parent's."""
        for link in self._links.values():
            link.leave_to_parent()
        self.listeners.renew()
        self._begin()

    # Finding the member of a partition

    def _of(self, subject: str, ask: Callable[[RemoteReader, float], T], timeout: float | None) -> T:
        return self._at(self._log.partition_for(key_of(subject)), ask, timeout)

    def _at(self, partition: int, ask: Callable[[RemoteReader, float], T], timeout: float | None) -> T:
        deadline = self._deadline(timeout)
        while True:
            link = self._link(partition, deadline)
            try:
                return ask(link.reader, max(deadline - monotonic(), 0.0))
            except (NotOwner, ViewUnavailable) as error:
                self._misled([partition], link, error, deadline)

    def _link(self, partition: int, deadline: float) -> Link:
        pause, longest = PAUSE_SECONDS
        why = "the group has no member that serves it"
        while True:
            self._check_open()
            seen = self._asked
            address = self._routes.get(partition)
            if address is not None:
                link = self._links.get(address)
                if link is not None and not link.lost:
                    return link
                try:
                    return self._connect(address, deadline)
                except (Gone, Silent) as error:
                    why = f"{address} does not answer ({error})"
                    self._forget([partition], address)
            try:
                self._ask_group(seen, deadline)
            except LogError as error:
                why = str(error)
            if partition in self._routes and self._routes[partition] != address:
                continue
            if monotonic() + pause >= deadline:
                raise ViewUnavailable(
                    f"Partition {partition} of {self._log.url} is served by nobody in group {self._group}: {why}. Start a member "
                    f"(`eventresults serve --group {self._group}`), or wait longer (timeout).",
                    services=sorted(set(self._routes.values())),
                    partition=partition,
                )
            sleep(pause)
            pause = min(pause * 2, longest)

    def _ask_group(self, seen: int, deadline: float) -> None:
        """Ask who has what, unless another thread has since `seen`."""
        with self._asking:
            if self._asked == seen:
                self._routes = dict(self._log.owners(self._group, max(min(deadline - monotonic(), self._connect_timeout), 0.05)))
                self._asked += 1

    def _connect(self, address: str, deadline: float) -> Link:
        with self._lock:
            connecting = self._connecting.setdefault(address, threading.Lock())
        with connecting:
            link = self._links.get(address)
            if link is not None and not link.lost:
                return link
            link = Link(
                address,
                self.listeners,
                self._log,
                self._own,
                token=self._token,
                timeout=max(min(CONNECT_SECONDS, deadline - monotonic()), 0.05),
                read_timeout=self._read_timeout,
                on_lost=self._lost,
                on_moved=self._moved,
            )
            with self._lock:
                closed = self._closed
                if not closed:
                    self._links[address] = link
        if closed:
            link.close()
            self._check_open()
        return link

    def _misled(self, partitions: Collection[int], link: Link, error: EventResultsError, deadline: float) -> None:
        """This member is not the one (any more): ask the group again, after a moment, or give up."""
        self._check_open()
        if monotonic() >= deadline:
            raise error
        self._forget(partitions, link.address)
        sleep(PAUSE_SECONDS[0])

    def _forget(self, partitions: Collection[int], address: str) -> None:
        with self._asking:
            self._routes = {p: at for p, at in self._routes.items() if p not in partitions or at != address}

    def _each(self, ask: Callable[[Link], T], links: Sequence[Link]) -> list[T]:
        return [ask(links[0])] if len(links) == 1 else list(self._pool.map(ask, links))

    def _partitions(self) -> Sequence[int]:
        if not self._count:
            self._count = self._log.info(self._connect_timeout).partitions
        return range(self._count)

    def _deadline(self, timeout: float | None) -> float:
        return monotonic() + (self._read_timeout if timeout is None else min(timeout, self._read_timeout))

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("This tracker is closed: open a new one with eventresults.connect().", what="tracker")

    # Placing what is watched: a thread that begins with the first

    def _place(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            self._to_place.put(partition)
        with self._lock:
            if self._placing is None and not self._closed:
                self._placing = threading.Thread(target=self._run, name="eventresults-group", daemon=True)
                self._placing.start()

    def _unwatch(self, ids: Sequence[str]) -> None:
        for link in list(self._links.values()):
            link.unwatch(ids)

    def _moved(self, link: Link, partition: int, position: int) -> None:
        """On the thread of this connection: the partition has left that member."""
        if self._watched_at.get(partition) is link:
            del self._watched_at[partition]
            if position >= 0:
                self._told[partition] = position
        self._forget([partition], link.address)
        self._place([partition])

    def _lost(self, link: Link) -> None:
        """On the thread of this connection, once all that it told was told."""
        left = [partition for partition, at in list(self._watched_at.items()) if at is link]
        for partition in left:
            self._told[partition] = link.told(partition) or self._told.get(partition, 0)
            del self._watched_at[partition]
        with self._lock:
            if self._links.get(link.address) is link:
                del self._links[link.address]
        link.close()
        self._place(left)

    def _run(self) -> None:
        waiting: set[int] = set()
        while not self._closed:
            try:
                partition = self._to_place.get(timeout=RETRY_SECONDS if waiting else None)
            except queue.Empty:
                pass
            else:
                if partition is None:
                    return
                waiting.add(partition)
            for one in sorted(waiting):
                try:
                    self._place_now(one)
                    waiting.discard(one)
                except EventResultsError as error:
                    logger.info("what is watched in partition %d waits for its member: %s", one, error)
                except Exception:
                    logger.exception("what is watched in partition %d could not be placed; trying again", one)

    def _place_now(self, partition: int) -> None:
        if partition in self._watched_at or not self.listeners:
            return
        link = self._link(partition, monotonic() + CONNECT_SECONDS)
        if self._log_id not in (None, link.log_id):
            self._told.clear()
            self._own.forget_acknowledged()
        self._log_id = link.log_id
        after = self._told.get(partition)
        self._watched_at[partition] = link
        ids = [one for one in self.listeners.subjects() if self._log.partition_for(key_of(one)) == partition]
        link.watch(ids, {partition: after or 0})
        if self.listeners.of_revokes:
            link.watch_revokes()
            if after is not None:
                tell_missed_revokes(self._log, {partition: after}, self.listeners)
