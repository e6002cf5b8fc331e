"""This process's view, opened by the first read."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterable, Sequence
from time import monotonic, time

from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position
from eventresults.errors import Closed, ViewLocked, ViewStale
from eventresults.log.base import Log
from eventresults.log.forked import leave_to_parent, tell_of_forks
from eventresults.log.own import OwnWrites
from eventresults.projector import Lifetimes
from eventresults.reading import FreshReader
from eventresults.service.owner import Owner
from eventresults.service.places import Place
from eventresults.view.base import Fact, Freshness, Listener, Subscription, TaskPage


class LocalView:
    """A `ViewReader` that owns its view: nothing is opened before the first call, and every call may raise what `Owner.open` does.

    With `may_own=False` (`own="never"`) it refuses to open one. `clock` gives milliseconds since the epoch. A forked child opens
    its own, which its parent's ownership forbids: let the parent read.
    """

    def __init__(
        self,
        log: Log,
        place: Place,
        own: OwnWrites,
        *,
        lifetimes: Lifetimes,
        read_timeout: float,
        connect_timeout: float,
        may_own: bool = True,
        clock: Callable[[], int] = lambda: int(time() * 1000),
    ) -> None:
        self._log = log
        self._place = place
        self._own = own
        self._lifetimes = lifetimes
        self._read_timeout = read_timeout
        self._connect_timeout = connect_timeout
        self._may_own = may_own
        self._clock = clock
        self._opening = threading.Lock()
        self._opened: tuple[Owner, FreshReader] | None = None
        self._closed = False
        tell_of_forks(self)

    @property
    def owner(self) -> Owner:
        """The owner behind it, opened now if need be."""
        return self._open(None)[0]

    def _reader(self, timeout: float | None) -> FreshReader:
        opened = self._opened
        return opened[1] if opened is not None else self._open(timeout)[1]

    def _open(self, timeout: float | None) -> tuple[Owner, FreshReader]:
        wait = self._connect_timeout if timeout is None else min(timeout, self._connect_timeout)
        deadline = monotonic() + wait
        if not self._opening.acquire(timeout=max(wait, 0)):
            raise ViewStale(
                f"The view at {self._place.name} was still being opened after {wait:g} s: wait longer (timeout, connect_timeout).",
                reason="the view is being opened",
            )
        try:
            self._check_open()
            if self._opened is None:
                owner = self._make_owner(max(deadline - monotonic(), 0.001))
                if self._closed:  # while it was being opened
                    owner.close()
                    self._check_open()
                reader = FreshReader(owner.view, self._log, self._own, read_timeout=self._read_timeout, clock=self._clock)
                self._opened = owner, reader
            return self._opened
        finally:
            self._opening.release()

    def _make_owner(self, timeout: float) -> Owner:
        if not self._may_own:
            raise ViewLocked(
                f"Nobody serves the view at {self._place.name} and own='never' forbids this process to open it: "
                "leave `own` at 'auto', or read in the process that owns the view.",
                path=self._place.name,
                pid=None,
            )
        return Owner.open(self._log, self._place, lifetimes=self._lifetimes, timeout=timeout)

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("This tracker is closed: open a new one with eventresults.connect().", what="tracker")

    def get(self, task_id: str, *, freshness: Freshness = "default", timeout: float | None = None) -> TaskMeta | None:
        """See `ViewReader.get`."""
        return self._reader(timeout).get(task_id, freshness=freshness, timeout=timeout)

    def get_many(
        self, task_ids: Sequence[str], *, freshness: Freshness = "default", timeout: float | None = None
    ) -> dict[str, TaskMeta | None]:
        """See `ViewReader.get_many`."""
        return self._reader(timeout).get_many(task_ids, freshness=freshness, timeout=timeout)

    def group(self, group_id: str, *, freshness: Freshness = "default", timeout: float | None = None) -> GroupMeta | None:
        """See `ViewReader.group`."""
        return self._reader(timeout).group(group_id, freshness=freshness, timeout=timeout)

    def history(self, subject: str, *, freshness: Freshness = "default", timeout: float | None = None) -> list[Fact]:
        """See `ViewReader.history`."""
        return self._reader(timeout).history(subject, freshness=freshness, timeout=timeout)

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
        return self._reader(timeout).recent(
            state=state, name=name, since=since, until=until, limit=limit, cursor=cursor, freshness=freshness, timeout=timeout
        )

    def subscribe(self, subjects: Iterable[str], listener: Listener) -> Subscription:
        """See `ViewReader.subscribe`."""
        return self._reader(None).subscribe(subjects, listener)

    def open_revokes(self, listener: Listener) -> Subscription:
        """See `ViewReader.open_revokes`."""
        return self._reader(None).open_revokes(listener)

    def wait_until(self, position: Position, timeout: float | None = None) -> bool:
        """See `FreshReader.wait_until`."""
        return self._reader(timeout).wait_until(position, timeout)

    def close(self) -> None:
        """Close the owner, if one was opened. Idempotent; whoever is opening it closes it."""
        self._closed = True
        opened = self._opened
        if opened is not None:
            opened[0].close()

    def after_fork_in_child(self) -> None:
        """The owner's thread and its stores are the parent's."""
        if self._opened is not None:
            leave_to_parent(self._opened)
            _end_without_destructors()
            self._opened = None
        self._opening = threading.Lock()


def _end_without_destructors() -> None:
    """Have this process end, once Python is done, without what C++ does then: RocksDB would join threads that only the parent has."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):  # elsewhere a forked child must end as those of multiprocessing do, by os._exit
        libc.on_exit(libc._exit, None)  # noqa: SLF001 - the C function of this name
