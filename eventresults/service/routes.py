"""Who has which partition of a group: asked of Kafka, and asked again whenever a member is not the one, or says nothing more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from time import monotonic, sleep
from typing import Final

from eventresults.errors import Closed, EventResultsError, LogError, ViewUnavailable
from eventresults.log.membership import GroupLog
from eventresults.service.links import Link
from eventresults.view.channel import Gone, Silent

#: Between two questions to the group while a partition is on its way.
PAUSE_SECONDS: Final = (0.02, 0.5)
#: How long one member may take to let us in.
CONNECT_SECONDS: Final = 2.0


class Routes:
    """One connection to each member that is asked for, made by `connect(address, timeout)`. Any thread.

    `timeout` (seconds) is how long the group may take to say who has what.
    """

    def __init__(self, log: GroupLog, group: str, connect: Callable[[str, float], Link], *, timeout: float) -> None:
        self._log = log
        self._group = group
        self._make = connect
        self._timeout = timeout
        self._routes: Mapping[int, str] = {}
        self._links: dict[str, Link] = {}
        self._connecting: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._asked = 0
        self._closed = False

    @property
    def links(self) -> list[Link]:
        """The connections that are open."""
        with self._lock:
            return list(self._links.values())

    def link(self, partition: int, deadline: float) -> Link:
        """The connection to the member that has this partition. Raises `ViewUnavailable` when there is none until the deadline."""
        pause, longest = PAUSE_SECONDS
        why = "the group has no member that serves it"
        while True:
            self.check_open()
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
                    self.forget([partition], address)
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
                self._routes = dict(self._log.owners(self._group, max(min(deadline - monotonic(), self._timeout), 0.05)))
                self._asked += 1

    def _connect(self, address: str, deadline: float) -> Link:
        with self._lock:
            connecting = self._connecting.setdefault(address, threading.Lock())
        with connecting:
            link = self._links.get(address)
            if link is not None and not link.lost:
                return link
            link = self._make(address, max(min(CONNECT_SECONDS, deadline - monotonic()), 0.05))
            with self._lock:
                closed = self._closed
                if not closed:
                    self._links[address] = link
        if closed:
            link.close()
            self.check_open()
        return link

    def misled(self, partitions: Collection[int], link: Link, error: EventResultsError, deadline: float) -> None:
        """This member is not the one (any more): ask the group again, after a moment, or give up."""
        self.check_open()
        if monotonic() >= deadline:
            raise error
        self.forget(partitions, link.address)
        sleep(PAUSE_SECONDS[0])

    def forget(self, partitions: Collection[int], address: str) -> None:
        """The member at this address does not have these."""
        with self._asking:
            self._routes = {p: at for p, at in self._routes.items() if p not in partitions or at != address}

    def drop(self, link: Link) -> None:
        """This one is lost."""
        with self._lock:
            if self._links.get(link.address) is link:
                del self._links[link.address]
        link.close()

    def check_open(self) -> None:
        """Raises `Closed` after `close`."""
        if self._closed:
            raise Closed("This tracker is closed: open a new one with eventresults.connect().", what="tracker")

    def close(self) -> None:
        """Close every connection. Idempotent."""
        with self._lock:
            self._closed = True
            links, self._links = list(self._links.values()), {}
        for link in links:
            link.close()

    def leave_to_parent(self) -> None:
        """In a forked child: the connections are the parent's."""
        for link in self._links.values():
            link.leave_to_parent()
