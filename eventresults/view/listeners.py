"""Who is told of which id's changes. It outlives the view it listens to: another may take that one's place."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from eventresults.domain.events import TaskRevokeRequested
from eventresults.domain.position import Position
from eventresults.view.base import Change, Listener

logger = logging.getLogger(__name__)

#: Behind every offset.
NOWHERE = 2**63


class Listeners:
    """Listeners by id. Any thread; one that stops listening never blocks, not even in a destructor."""

    def __init__(self) -> None:
        self._by_subject: dict[str, tuple[Listener, ...]] = {}
        #: Those who are told of every request to revoke.
        self.of_revokes: tuple[Listener, ...] = ()
        #: What the latest listener is in where it is alone: one tuple for all of its ids, which may be a million.
        self._alone: tuple[Listener] | None = None
        self._gone: deque[tuple[tuple[str, ...] | None, Listener]] = deque()
        self._lock = threading.Lock()
        #: What was told of ids while they were caught up with, as far as it may come again.
        self._ahead: dict[str, Position] = {}
        self._catching_up = False
        self.unhook()

    def unhook(self) -> None:
        """Nobody is to be asked for what is listened to."""
        #: Called with ids that nobody listened to before, and with those that nobody listens to any more; neither may block.
        self.on_more: Callable[[Sequence[str]], None] = _nothing
        self.on_fewer: Callable[[Sequence[str]], None] = _nothing
        #: Called when the first asks for requests to revoke.
        self.on_revokes: Callable[[], None] = lambda: None

    def renew(self) -> None:
        """In a forked child: those who listened are the parent's."""
        self._by_subject = {}
        self.of_revokes = ()
        self._alone = None
        self._gone.clear()
        self._lock = threading.Lock()
        self._ahead = {}
        self._catching_up = False
        self.unhook()

    def __bool__(self) -> bool:
        return bool(self._by_subject or self.of_revokes)

    def subjects(self) -> list[str]:
        """The ids that somebody listens to."""
        with self._lock:
            return list(self._by_subject)

    def add(self, subjects: Iterable[str], listener: Listener) -> Subscribed:
        """Tell this one of every change of these ids from now on."""
        subjects = tuple(dict.fromkeys(subjects))
        with self._lock:
            alone = self._alone
            if alone is None or alone[0] is not listener:
                alone = self._alone = (listener,)
            more = [subject for subject in subjects if subject not in self._by_subject]
            for subject in subjects:
                others = self._by_subject.get(subject)
                self._by_subject[subject] = alone if others is None else (*others, listener)
            if more:
                self.on_more(more)
        self._clear_gone()
        return Subscribed(self, subjects, listener)

    def add_for_revokes(self, listener: Listener) -> Subscribed:
        """Tell this one of every request to revoke from now on."""
        with self._lock:
            first = not self.of_revokes
            self.of_revokes = (*self.of_revokes, listener)
            if first:
                self.on_revokes()
        self._clear_gone()
        return Subscribed(self, None, listener)

    def remove(self, subjects: tuple[str, ...] | None, listener: Listener) -> None:
        """Do not tell this one any more; None: of requests to revoke. Never blocks."""
        self._gone.append((subjects, listener))
        self._clear_gone()

    def _clear_gone(self) -> None:
        """Take out who stopped, unless somebody holds the lock, who then does it: a destructor may run anywhere, and must not wait."""
        while self._gone and self._lock.acquire(blocking=False):
            try:
                while self._gone:
                    subjects, listener = self._gone.popleft()
                    if subjects is None:
                        self.of_revokes = _without(self.of_revokes, listener)
                    else:
                        self._take_out(subjects, listener)
                self._alone = None  # whom nothing else keeps may go
            finally:
                self._lock.release()

    def _take_out(self, subjects: tuple[str, ...], listener: Listener) -> None:
        fewer = []
        for subject in subjects:
            left = _without(self._by_subject.get(subject, ()), listener)
            if left:
                self._by_subject[subject] = left
            elif self._by_subject.pop(subject, None) is not None:
                fewer.append(subject)
                self._ahead.pop(subject, None)
        if not self._by_subject:
            self._by_subject = {}  # an emptied dict keeps the room that its entries took
        if fewer:
            self.on_fewer(fewer)

    # Telling

    def catch_up(self) -> None:
        """What was missed is about to be told: until `caught_up` nothing is told of an id that is not later than what was told of it.

        If the view that tells it is lost half-way, the next one begins where this one began.
        """
        self._catching_up = True

    def caught_up(self, until: Mapping[int, int] | None = None) -> None:
        """All that was missed before these offsets is told (None: it means nothing any more).

        What a view that was lost half-way had told beyond them, the one that tells from here on may tell again; the listeners do not.
        """
        self._catching_up = False
        if until is None:
            self._ahead = {}
        elif self._ahead:
            # Of a copy, for the view may be telling already.
            self._ahead = {subject: at for subject, at in dict(self._ahead).items() if at.offset >= until.get(at.partition, NOWHERE)}

    def forget_told(self, partition: int) -> None:
        """What was told of this partition means nothing any more: its log holds something else now."""
        self._ahead = {subject: at for subject, at in dict(self._ahead).items() if at.partition != partition}

    def watched(self, subjects: Iterable[str]) -> set[str]:
        """Those of these ids that somebody listens to."""
        by_subject = self._by_subject
        return {subject for subject in subjects if subject in by_subject} if by_subject else set()

    def listens(self, subject: str, request: bool) -> bool:
        """Whether anybody wants to be told of a fact of this id; `request`: it is a revoke request."""
        return subject in self._by_subject or (request and bool(self.of_revokes))

    def tell(self, change: Change) -> None:
        """Tell those who listen."""
        if self._catching_up or self._ahead:
            at, told = change.fact.position, self._ahead.get(change.subject)
            if told is not None and at <= told:
                return
            if self._catching_up:
                self._ahead[change.subject] = at
            elif told is not None:
                self._ahead.pop(change.subject, None)
        for listener in self._by_subject.get(change.subject, ()):
            _tell(listener, change)
        if self.of_revokes and isinstance(change.fact.event, TaskRevokeRequested):
            self.tell_revoke(change)

    def tell_revoke(self, change: Change) -> None:
        """Tell those who wait for requests to revoke of this one."""
        for listener in self.of_revokes:
            _tell(listener, change)


class Subscribed:
    """A subscription: closing it never blocks, may be repeated, and may happen in a destructor."""

    __slots__ = ("_listener", "_listeners", "_subjects")

    def __init__(self, listeners: Listeners, subjects: tuple[str, ...] | None, listener: Listener) -> None:
        self._listeners: Listeners | None = listeners
        self._subjects = subjects
        self._listener = listener

    def close(self) -> None:
        """Stop it."""
        listeners, self._listeners = self._listeners, None
        if listeners is not None:
            listeners.remove(self._subjects, self._listener)


def _nothing(_: Sequence[str]) -> None:
    pass


def _without(listeners: tuple[Listener, ...], listener: Listener) -> tuple[Listener, ...]:
    """One subscription less, where a listener has several."""
    for index, one in enumerate(listeners):
        if one is listener:
            return listeners[:index] + listeners[index + 1 :]
    return listeners


def _tell(listener: Listener, change: Change) -> None:
    try:
        listener(change)
    except Exception:
        logger.exception("a listener failed at %s of %r; the others were told", change.fact.position, change.subject[:64])
