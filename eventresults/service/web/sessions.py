"""Conversations with processes that connect to the WebSocket: each on the view of whoever owns it in this process at that time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from time import monotonic
from typing import Protocol
from weakref import WeakSet

from eventresults.errors import ViewUnavailable
from eventresults.service.feed import Outgoing, to_loop
from eventresults.service.pool import Pool
from eventresults.service.served import Served
from eventresults.service.session import Session

#: Questions that wait for something at the same time, of all connections together.
THREADS = 32
#: How long a look at whether the owner is still the one holds, in seconds.
LOOK_SECONDS = 0.2


class Owning(Protocol):
    """What this process holds of the view."""

    @property
    def resigned(self) -> bool:
        """Whether another process has it now."""

    def check(self) -> bool:
        """Whether it is still this process's, as far as can be seen at once."""


class Sessions:
    """Begins conversations on what `find` finds: the view's owner in this process and what it serves, or None. `find` may block."""

    def __init__(self, find: Callable[[], tuple[Owning, Served] | None]) -> None:
        self._find = find
        self._pool = Pool(THREADS, "eventresults-web-ask")
        self._looked: tuple[Owning | None, float, bool] = (None, 0.0, False)
        self._begun: WeakSet[Session] = WeakSet()

    def open(self) -> Callable[[Outgoing, asyncio.AbstractEventLoop], Conversation]:
        """What begins one. Not on the event loop. Raises `ViewUnavailable` while another process owns the view."""
        found = self._find()
        if found is None:
            raise ViewUnavailable("Another process owns the view at present: ask again, or ask another service.", services=[])
        owning, served = found

        def begin(out: Outgoing, loop: asyncio.AbstractEventLoop) -> Conversation:
            session = Session(served, out, pool=self._pool, loop=loop, pid=os.getpid())
            self._begun.add(session)
            return Conversation(session, owning, lambda: self._lives(owning))

        return begin

    def moved(self, partition: int, position: int) -> None:
        """Tell everybody that this partition has left, once they were told its changes up to this position. Any thread."""
        for session in list(self._begun):
            to_loop(session.loop, session.moved, partition, position)

    def _lives(self, owning: Owning) -> bool:
        """Many conversations ask this at the same time. On the event loop."""
        asked, when, lives = self._looked
        if asked is not owning or monotonic() - when > LOOK_SECONDS:
            lives = owning.check()
            self._looked = owning, monotonic(), lives
        return lives

    def close(self) -> None:
        """Ask nothing more. Idempotent."""
        self._pool.close()


class Conversation:
    """A session that says that the owner lives only while it does, and ends when it resigned."""

    def __init__(self, session: Session, owning: Owning, lives: Callable[[], bool]) -> None:
        self._session = session
        self._owning = owning
        self._lives = lives

    @property
    def watched(self) -> int:
        """See `Session.watched`."""
        return self._session.watched

    def received(self, message: bytes, /) -> None:
        """See `Session.received`."""
        self._session.received(message)

    def beat(self) -> None:
        """See `Session.beat`."""
        if self._owning.resigned:
            self._session.leave()
        elif self._lives():
            self._session.beat()

    def leave(self) -> None:
        """See `Session.leave`."""
        self._session.leave()

    def closed(self) -> None:
        """See `Session.closed`."""
        self._session.closed()
