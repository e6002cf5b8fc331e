"""How a change reaches one who waits: put in by the projector's thread, taken out by the waiting one (or its event loop)."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX

from eventresults.domain.meta import TaskMeta
from eventresults.view.base import Change

logger = logging.getLogger(__name__)

#: How many changes short of the end may wait to be taken; what comes on top is dropped, the ends of tasks never.
LIMIT = 10_000

Item = Change | Exception


class Inbox(ABC):
    """Takes the changes of some tasks up to the first ready state of each: every one of them with `every`, else only that last one."""

    def __init__(self, ids: Iterable[str], *, every: bool = False) -> None:
        self._open = set(ids)
        self._every = every
        self._missed = 0

    def __call__(self, change: Change, /) -> None:
        """Listen (see `Listener`)."""
        if change.subject not in self._open:
            return
        meta = change.meta
        if isinstance(meta, TaskMeta) and meta.ready:
            self._open.discard(change.subject)
        elif not self._every:
            return
        elif self.size() >= LIMIT:
            self._missed += 1
            if self._missed == 1:
                logger.warning("on_message is slower than its tasks: of %s and others only their ends are told for now", change.subject)
            return
        self.put(change)

    @abstractmethod
    def put(self, item: Item) -> None:
        """Put one in, from any thread; an exception is raised by whoever waits."""

    @abstractmethod
    def size(self) -> int:
        """About how many wait to be taken."""


class ThreadInbox(Inbox):
    """For one waiting thread."""

    def __init__(self, ids: Iterable[str], *, every: bool = False) -> None:
        super().__init__(ids, every=every)
        self._items: SimpleQueue[Item] = SimpleQueue()

    def put(self, item: Item) -> None:
        """See `Inbox.put`."""
        self._items.put(item)

    def size(self) -> int:
        """See `Inbox.size`."""
        return self._items.qsize()

    def take(self, timeout: float | None) -> Change | None:
        """The next change; None after `timeout` seconds (None: no limit). What is there is taken even when the time is up."""
        try:
            item = self._items.get(timeout=None if timeout is None else min(max(timeout, 0), TIMEOUT_MAX))
        except Empty:
            return None
        if isinstance(item, Exception):
            raise item
        return item


class LoopInbox(Inbox):
    """For one task of the running asyncio event loop."""

    def __init__(self, ids: Iterable[str], *, every: bool = False) -> None:
        super().__init__(ids, every=every)
        self._loop = asyncio.get_running_loop()
        self._items: deque[Item] = deque()
        self._arrived = asyncio.Event()

    def put(self, item: Item) -> None:
        """See `Inbox.put`."""
        self._items.append(item)
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:
            # The loop was closed, and took its waiting tasks with it: nobody is left to tell.
            self._open.clear()
            self._items.clear()

    def size(self) -> int:
        """See `Inbox.size`."""
        return len(self._items)

    async def take(self) -> Change:
        """The next change."""
        while not self._items:
            self._arrived.clear()
            await self._arrived.wait()
        item = self._items.popleft()
        if isinstance(item, Exception):
            raise item
        return item


class LoopFeed(LoopInbox):
    """Takes every change, beyond the end of a task too. `lagged` says that more came than may wait, and some were dropped."""

    lagged = False

    def __call__(self, change: Change, /) -> None:
        """Listen (see `Listener`)."""
        if change.subject not in self._open:
            return
        if self.size() >= LIMIT:
            self.lagged = True
        else:
            self.put(change)
