"""A `ViewReader` that holds whichever reader there is at present, its own or one of another process, and is pointed at another when that
one is lost. Who listens goes on listening, from where it was told.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, TypeVar

from eventresults.codec.ids import key_of
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position
from eventresults.errors import Closed, EventResultsError, ViewStale, ViewUnavailable
from eventresults.log.base import Log
from eventresults.log.forked import tell_of_forks
from eventresults.log.own import OwnWrites
from eventresults.service.finder import Finder, Held, Reading
from eventresults.service.leaving import close_at_exit
from eventresults.service.missed import tell_missed_revokes
from eventresults.service.told import Told
from eventresults.view.base import Fact, Freshness, Listener, Openness, OpenPage, ProjectedPage, Subscription, TaskPage, Wanted
from eventresults.view.listeners import Listeners

logger = logging.getLogger(__name__)

#: Between two attempts to find a reader for those who listen.
RETRY_SECONDS = 0.5
JOIN_SECONDS = 4.0

T = TypeVar("T")


class PointedView:
    """The view as this process reads it. Nothing is opened before the first call. Any thread."""

    def __init__(self, finder: Finder, log: Log, own: OwnWrites, *, read_timeout: float, connect_timeout: float) -> None:
        self.finder = finder
        self.listeners = Listeners()
        self._log = log
        self._own = own
        self._read_timeout = read_timeout
        self._connect_timeout = connect_timeout
        self._closed = False
        self._begin()
        tell_of_forks(self)

    def _begin(self) -> None:
        self._held: Held | None = None
        self._lost: Held | None = None
        self._told: Told | None = None
        #: From where on requests to revoke may have been missed.
        self._missed: Mapping[int, int] | None = None
        self._finding = threading.Lock()
        self._moved = threading.Condition()
        self._seeker: threading.Thread | None = None
        self._forget_exit: Callable[[], None] = lambda: None

    @property
    def held(self) -> Held:
        """What is read at present, found now if need be."""
        return self._hold(monotonic() + self._connect_timeout)

    def open(self) -> None:
        """Find or open the view now. Raises what `Finder.find` does."""
        self._hold(monotonic() + self._connect_timeout)

    def get(self, task_id: str, *, freshness: Freshness = "default", timeout: float | None = None) -> TaskMeta | None:
        """See `ViewReader.get`."""
        return self._ask(lambda reader, left: reader.get(task_id, freshness=freshness, timeout=left), timeout)

    def get_many(
        self, task_ids: Sequence[str], *, freshness: Freshness = "default", timeout: float | None = None
    ) -> dict[str, TaskMeta | None]:
        """See `ViewReader.get_many`."""
        return self._ask(lambda reader, left: reader.get_many(task_ids, freshness=freshness, timeout=left), timeout)

    def group(
        self, group_id: str, *, freshness: Freshness = "default", timeout: float | None = None, brief: bool = False
    ) -> GroupMeta | None:
        """See `ViewReader.group`."""
        return self._ask(lambda reader, left: reader.group(group_id, freshness=freshness, timeout=left, brief=brief), timeout)

    def history(self, subject: str, *, freshness: Freshness = "default", timeout: float | None = None) -> list[Fact]:
        """See `ViewReader.history`."""
        return self._ask(lambda reader, left: reader.history(subject, freshness=freshness, timeout=left), timeout)

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
        return self._ask(
            lambda reader, left: reader.recent(
                state=state, name=name, since=since, until=until, limit=limit, cursor=cursor, freshness=freshness, timeout=left
            ),
            timeout,
        )

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
        return self._ask(lambda reader, left: reader.opened(kind, limit=limit, cursor=cursor, freshness=freshness, timeout=left), timeout)

    def projected(self, wanted: Wanted, *, freshness: Freshness = "default", timeout: float | None = None) -> ProjectedPage:
        """See `ViewReader.projected`."""
        return self._ask(lambda reader, left: reader.projected(wanted, freshness=freshness, timeout=left), timeout)

    def subscribe(self, subjects: Iterable[str], listener: Listener) -> Subscription:
        """See `ViewReader.subscribe`."""
        subjects = list(subjects)
        for subject in subjects:
            key_of(subject)
        return self._ask(lambda reader, _: reader.subscribe(subjects, listener), None)

    def unsubscribe(self, subjects: Iterable[str], listener: Listener) -> None:
        """See `ViewReader.unsubscribe`."""
        self.listeners.remove(tuple(subjects), listener)

    def open_revokes(self, listener: Listener) -> Subscription:
        """See `ViewReader.open_revokes`."""
        return self._ask(lambda reader, _: reader.open_revokes(listener), None)

    def wait_until(self, position: Position, timeout: float | None = None) -> bool:
        """See `FreshReader.wait_until`."""
        return self._ask(lambda reader, left: reader.wait_until(position, left), timeout)

    def ask(self, what: str, timeout: float, **arguments: Any) -> Any:
        """Whatever else the owner knows: see `eventresults.service.answers`."""
        deadline = monotonic() + timeout
        return self._until(lambda held, left: held.ask(what, arguments, left), deadline)

    def close(self) -> None:
        """Let go of what is held. Idempotent; whoever is finding something closes it."""
        with self._moved:
            self._closed = True
            held, self._held = self._held, None
            seeker = self._seeker
            self._moved.notify_all()
        self._forget_exit()
        self.finder.give_up()
        if held is not None:
            held.close()
        if seeker is not None:
            seeker.join(JOIN_SECONDS)

    def after_fork_in_child(self) -> None:
        """What is held, and who listens, are the parent's."""
        for held in (self._held, self._lost):
            if held is not None:
                held.leave_to_parent()
        self.listeners.renew()
        self._begin()

    # Asking whoever is there

    def _ask(self, ask: Callable[[Reading, float | None], T], timeout: float | None) -> T:
        deadline = monotonic() + (self._read_timeout if timeout is None else timeout)
        held = self._held
        if held is not None:
            try:
                return ask(held.reader, timeout)
            except (Closed, ViewUnavailable):
                if not self._is_over(held):
                    raise
        return self._until(lambda held, left: ask(held.reader, None if timeout is None else left), deadline)

    def _until(self, ask: Callable[[Held, float], T], deadline: float) -> T:
        while True:
            held = self._hold(deadline)
            try:
                return ask(held, max(deadline - monotonic(), 0.0))
            except (Closed, ViewUnavailable):
                if not self._is_over(held) or monotonic() > deadline:
                    raise
            with self._moved:
                # Until all that it told was told, nobody takes its place.
                self._moved.wait_for(lambda: self._held is not held, max(deadline - monotonic(), 0.0))  # noqa: B023 - used at once

    def _is_over(self, held: Held) -> bool:
        """Whether it answers no more, so that another one may. Raises `Closed` when it was this process that closed it."""
        self._check_open()
        return held.lost

    def _hold(self, deadline: float) -> Held:
        held = self._held
        if held is not None:
            return held
        wait = max(min(deadline - monotonic(), self._connect_timeout), 0.0)
        if not self._finding.acquire(timeout=wait):
            raise ViewStale(
                f"The view at {self.finder.name} was still being opened after {wait:g} s: wait longer (timeout, connect_timeout).",
                reason="the view is being opened",
            )
        try:
            self._check_open()
            return self._held or self._find(monotonic() + max(deadline - monotonic(), 0.001))
        finally:
            self._finding.release()

    def _find(self, deadline: float) -> Held:
        before, told = self._lost, self._told
        if before is not None:
            self.listeners.unhook()
        held = self.finder.find(self.listeners, after=told, lost=before, deadline=deadline, on_lost=self._on_lost)
        if told is not None and held.told.log_id != told.log_id:
            self._own.forget_acknowledged()  # positions of another log
            told = None
        with self._moved:
            if not self._closed:
                self._held, self._lost = held, None
                self._missed = self._missed or (told.offsets if told is not None and self.listeners.of_revokes else None)
            self._moved.notify_all()
        if self._closed:
            held.close()
            self._check_open()
        # After its own: what was noted last is closed first at the end of the interpreter.
        self._forget_exit()
        self._forget_exit = close_at_exit(self)
        if held.lost:
            self._on_lost(held)
        elif self._missed is not None:
            self._seek()
        return held

    def _on_lost(self, held: Held) -> None:
        """All that it told was told. On a thread of what was lost: another one is found elsewhere."""
        with self._moved:
            if self._held is not held:
                return
            self._told, self._lost, self._held = held.told, held, None
            self._moved.notify_all()
        held.close()
        self._seek()

    # For those who listen, who ask for nothing by themselves

    def _seek(self) -> None:
        """Have a thread find what they are told by."""
        with self._moved:
            if self._seeker is None and not self._closed:
                self._seeker = threading.Thread(target=self._run, name="eventresults-view-seeker", daemon=True)
                self._seeker.start()

    def _run(self) -> None:
        said = ""
        while not self._has_nothing_to_seek():
            try:
                self._hold(monotonic() + self._connect_timeout)
                self._tell_missed()
            except Exception as error:
                if str(error) != said and not self._closed:
                    said = str(error)
                    expected = isinstance(error, EventResultsError)
                    level = logging.WARNING if expected else logging.ERROR
                    logger.log(
                        level, "nobody serves the view at %s at present, asking again: %s", self.finder.name, error, exc_info=not expected
                    )
                with self._moved:
                    if not self.listeners:
                        self._seeker = None
                        return  # the next read tries again, and is told
                    self._moved.wait_for(lambda: self._closed or self._held is not None, RETRY_SECONDS)

    def _has_nothing_to_seek(self) -> bool:
        with self._moved:
            nothing = self._closed or (self._held is not None and self._missed is None)
            if nothing:
                self._seeker = None
            return nothing

    def _tell_missed(self) -> None:
        missed, self._missed = self._missed, None
        if missed is not None:
            tell_missed_revokes(self._log, missed, self.listeners)

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("This tracker is closed: open a new one with eventresults.connect().", what="tracker")
