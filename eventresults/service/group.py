"""The view of a consumer group: every key has its member, and the group itself says which.

Every question goes to the member that has the key's partition, again elsewhere when it has left; what concerns many goes to all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, Final, TypeVar

from eventresults.codec.ids import key_of
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position
from eventresults.errors import EventResultsError, NotOwner, ViewUnavailable
from eventresults.log.forked import leave_to_parent, tell_of_forks
from eventresults.log.membership import GroupLog
from eventresults.log.own import OwnWrites
from eventresults.projector.registered import NONE, Registered
from eventresults.reading import RemoteReader
from eventresults.service.links import Link
from eventresults.service.placing import Placing
from eventresults.service.pool import Pool
from eventresults.service.routes import Routes
from eventresults.view import listing, openrows, projected
from eventresults.view.base import Fact, Freshness, Listener, Openness, OpenPage, ProjectedPage, Subscription, TaskPage, Wanted
from eventresults.view.listeners import Listeners

#: Members asked at the same time.
ASKED_AT_ONCE: Final = 16

T = TypeVar("T")


class GroupView:
    """A `ViewReader` over all members of a consumer group. Nothing is asked before the first call. Any thread.

    Every method raises `ViewUnavailable` when no member serves what is asked for within its timeout.
    """

    def __init__(
        self,
        log: GroupLog,
        own: OwnWrites,
        *,
        group: str,
        token: str | None,
        read_timeout: float,
        connect_timeout: float,
        projections: Registered = NONE,
    ) -> None:
        self.listeners = Listeners()
        self._log = log
        self._own = own
        self._group = group
        self._token = token
        self._read_timeout = read_timeout
        self._connect_timeout = connect_timeout
        self._projections = projections
        self._begin()
        tell_of_forks(self)

    def _begin(self) -> None:
        self._count = 0
        self._pool = Pool(ASKED_AT_ONCE, "eventresults-group-read")
        self._routes = Routes(self._log, self._group, self._connect, timeout=self._connect_timeout)
        self._placing = Placing(self._routes, self._log, self._own, self.listeners)
        self.listeners.on_fewer = self._placing.unwatch
        self.listeners.on_revokes = lambda: self._placing.place(self._partitions())

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
                by_link.setdefault(self._routes.link(partition, deadline), []).append(partition)
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
                    self._routes.misled(by_link[link], link, answer, deadline)
                else:
                    found |= answer
                    for partition in by_link[link]:
                        del by_partition[partition]
        return found

    def group(
        self, group_id: str, *, freshness: Freshness = "default", timeout: float | None = None, brief: bool = False
    ) -> GroupMeta | None:
        """See `ViewReader.group`."""
        return self._of(group_id, lambda reader, left: reader.group(group_id, freshness=freshness, timeout=left, brief=brief), timeout)

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
        pages = self._of_all(
            lambda reader, partitions: reader.recent_of(partitions, query, freshness=freshness, timeout=max(deadline - monotonic(), 0.0)),
            deadline,
        )
        return listing.merged(pages, limit)

    def opened(
        self,
        kind: Openness,
        *,
        limit: int = 1_000,
        cursor: str | None = None,
        freshness: Freshness = "default",
        timeout: float | None = None,
    ) -> OpenPage:
        """See `ViewReader.opened`."""
        deadline = self._deadline(timeout)
        query = {"kind": kind, "limit": limit, "cursor": cursor}
        pages = self._of_all(
            lambda reader, partitions: reader.opened_of(partitions, query, freshness=freshness, timeout=max(deadline - monotonic(), 0.0)),
            deadline,
        )
        return openrows.merged(pages, limit)

    def projected(self, wanted: Wanted, *, freshness: Freshness = "default", timeout: float | None = None) -> ProjectedPage:
        """See `ViewReader.projected`. What several members hold of a key is merged here, by a projection that this process must have."""
        deadline = self._deadline(timeout)
        pages = self._of_all(
            lambda reader, partitions: reader.projected_of(
                partitions, wanted, freshness=freshness, timeout=max(deadline - monotonic(), 0.0)
            ),
            deadline,
        )
        mine = {} if len(pages) == 1 else {one.name: one for one in self._projections()}
        return projected.merged(mine.get(wanted.name), wanted, pages)

    def wait_until(self, position: Position, timeout: float | None = None) -> bool:
        """See `FreshReader.wait_until`."""
        return self._at(position.partition, lambda reader, left: reader.wait_until(position, left), timeout)

    def ask(self, what: str, timeout: float, **arguments: Any) -> Any:
        """`stats` and `survey` of all members as one; `verify`, by each member of what it has, until every partition was."""
        if what not in {"stats", "survey", "verify"}:
            raise ViewUnavailable(f"A group cannot be asked for {what!r}: do that with one of its members.", services=[], reason="group")
        deadline = monotonic() + timeout
        if what == "verify":
            return self._verify(arguments, deadline)
        if what == "survey":
            return self._survey(arguments, deadline)
        links, found = self._ask_all(what, arguments, self._partitions(), deadline)
        members = [
            {**{name: value for name, value in one.items() if name != "partitions"}, "address": link.address}
            for one, link in zip(found, links, strict=True)
        ]
        partitions = sorted((p for one in found for p in one["partitions"]), key=lambda one: one["partition"])
        return {"path": f"group {self._group}", "generation": None, "log": self._log.url, "members": members, "partitions": partitions}

    def _survey(self, arguments: Mapping[str, Any], deadline: float) -> dict[int, Any]:
        found: dict[int, Any] = {}
        while missing := set(self._partitions()) - found.keys():
            for one in self._ask_all("survey", arguments, sorted(missing), deadline)[1]:
                found.update({int(partition): survey for partition, survey in one.items()})
        return found

    def _verify(self, arguments: Mapping[str, Any], deadline: float) -> dict[str, Any]:
        missing, differences = set(self._partitions()), []
        while missing:
            for one in self._ask_all("verify", arguments, sorted(missing), deadline)[1]:
                differences += [each for each in one["differences"] if missing.intersection(one["partitions"])]
                missing.difference_update(one["partitions"])  # what moved meanwhile is with another one now
        return {"partitions": list(self._partitions()), "differences": differences}

    def _ask_all(
        self, what: str, arguments: Mapping[str, Any], partitions: Sequence[int], deadline: float
    ) -> tuple[list[Link], list[dict[str, Any]]]:
        """Ask every member that has one of these."""
        while True:
            by_link: dict[Link, list[int]] = {}
            for partition in partitions:
                by_link.setdefault(self._routes.link(partition, deadline), []).append(partition)
            links = list(by_link)
            try:
                return links, self._each(lambda link: link.reader.ask(what, arguments, max(deadline - monotonic(), 0.001)), links)
            except ViewUnavailable as error:
                if monotonic() >= deadline:
                    raise
                for link in links:
                    if link.lost:
                        self._routes.misled(by_link[link], link, error, deadline)

    def open(self) -> None:
        """Find a member for every partition now. Raises `ViewUnavailable`, and what the log raises."""
        deadline = monotonic() + self._connect_timeout
        for partition in self._partitions():
            self._routes.link(partition, deadline)

    # Watching

    def subscribe(self, subjects: Iterable[str], listener: Listener) -> Subscription:
        """See `ViewReader.subscribe`."""
        self._routes.check_open()
        ids = list(dict.fromkeys(subjects))
        by_partition: dict[int, list[str]] = {}
        for one in ids:
            by_partition.setdefault(self._log.partition_for(key_of(one)), []).append(one)
        subscription = self.listeners.add(ids, listener)
        for partition, these in by_partition.items():
            self._placing.watch(partition, these)
        return subscription

    def unsubscribe(self, subjects: Iterable[str], listener: Listener) -> None:
        """See `ViewReader.unsubscribe`."""
        self.listeners.remove(tuple(subjects), listener)

    def open_revokes(self, listener: Listener) -> Subscription:
        """See `ViewReader.open_revokes`."""
        self._routes.check_open()
        return self.listeners.add_for_revokes(listener)

    def close(self) -> None:
        """Close every connection. Idempotent."""
        self._routes.close()
        self._placing.close()
        self._pool.close()

    def after_fork_in_child(self) -> None:
        """The connections, and who listens, are the parent's."""
        leave_to_parent(self._pool, self._routes, self._placing)
        self._routes.leave_to_parent()
        self.listeners.renew()
        self._begin()

    # Finding the member of a partition

    def _of(self, subject: str, ask: Callable[[RemoteReader, float], T], timeout: float | None) -> T:
        return self._at(self._log.partition_for(key_of(subject)), ask, timeout)

    def _at(self, partition: int, ask: Callable[[RemoteReader, float], T], timeout: float | None) -> T:
        deadline = self._deadline(timeout)
        while True:
            link = self._routes.link(partition, deadline)
            try:
                return ask(link.reader, max(deadline - monotonic(), 0.0))
            except (NotOwner, ViewUnavailable) as error:
                self._routes.misled([partition], link, error, deadline)

    def _of_all(self, ask: Callable[[RemoteReader, list[int]], T], deadline: float) -> list[T]:
        """What each member answers of its partitions."""
        while True:
            by_link: dict[Link, list[int]] = {}
            for partition in self._partitions():
                by_link.setdefault(self._routes.link(partition, deadline), []).append(partition)

            def asked(link: Link, by_link: Mapping[Link, list[int]] = by_link) -> T | EventResultsError:
                try:
                    return ask(link.reader, by_link[link])
                except (NotOwner, ViewUnavailable) as error:
                    return error

            answers: list[T] = []
            for link, answer in zip(by_link, self._each(asked, list(by_link)), strict=True):
                if isinstance(answer, EventResultsError):
                    self._routes.misled(by_link[link], link, answer, deadline)
                else:
                    answers.append(answer)
            if len(answers) == len(by_link):
                return answers

    def _each(self, ask: Callable[[Link], T], links: Sequence[Link]) -> list[T]:
        return [ask(links[0])] if len(links) == 1 else self._pool.map(ask, links)

    def _partitions(self) -> Sequence[int]:
        if not self._count:
            self._count = self._log.info(self._connect_timeout).partitions
        return range(self._count)

    def _deadline(self, timeout: float | None) -> float:
        return monotonic() + (self._read_timeout if timeout is None else min(timeout, self._read_timeout))

    def _connect(self, address: str, timeout: float) -> Link:
        return Link(
            address,
            self.listeners,
            self._log,
            self._own,
            token=self._token,
            timeout=timeout,
            read_timeout=self._read_timeout,
            on_lost=self._placing.lost,
            on_moved=self._placing.moved,
        )
