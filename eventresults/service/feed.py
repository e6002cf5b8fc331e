"""From the projector's thread to one connection: a queue of bounded length, emptied on the event loop as fast as the other side reads."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from eventresults.view.base import Change

#: Changes that may wait to be sent before a reader is said to lag, and bytes that the other side may leave unread before no more are sent.
QUEUED_CHANGES: Final = 50_000
BUFFERED_BYTES: Final = 8 * 1024 * 1024
#: Changes in one message.
TOLD_AT_ONCE: Final = 500
#: How often to look whether a slow reader has read.
LOOK_SECONDS: Final = 0.01


class Outgoing(Protocol):
    """The way to a reader. Used on the loop's thread; nothing of it waits."""

    def send(self, message: bytes) -> None:
        """Send it as soon as the other side takes it."""

    @property
    def buffered(self) -> int:
        """Bytes that the other side has not taken yet."""

    def close(self) -> None:
        """End the connection."""


class Feed:
    """A listener that passes changes on to the loop's thread: `send(changes, live)`, or, when too many wait, `lag()` once."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, out: Outgoing, send: Callable[[Sequence[Change], bool], None], lag: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._out = out
        self._send = send
        self._lag = lag
        #: Changes with whether they are live, and what is to be done between them.
        self._queue: deque[tuple[Change, bool] | Callable[[], None]] = deque()
        self._room = threading.Condition()
        self._scheduled = False
        self._overrun = False
        self._stopped = False

    def __call__(self, change: Change, /) -> None:
        """One that happened just now. Any thread; never waits."""
        if self._overrun or self._stopped:
            return
        if len(self._queue) >= QUEUED_CHANGES:
            self.overrun()
            return
        self._queue.append((change, True))
        if not self._scheduled:
            self._scheduled = True
            to_loop(self._loop, self._drain)

    def overrun(self) -> None:
        """More waits than may. Any thread."""
        if not self._overrun:
            self._overrun = True
            to_loop(self._loop, self._overran)

    def from_history(self, change: Change) -> bool:
        """One of long ago. Not on the loop's thread: waits for room; False when it is of no use any more."""
        with self._room:
            while len(self._queue) >= QUEUED_CHANGES // 2 and not self._over:
                self._room.wait(1.0)
        if self._over:
            return False
        self._queue.append((change, False))
        if not self._scheduled:
            self._scheduled = True
            to_loop(self._loop, self._drain)
        return True

    def then(self, act: Callable[[], None]) -> None:
        """Do this once all that is queued now was sent, unless it is stopped before. On the loop's thread."""
        if self._over:
            return
        self._queue.append(act)
        self.flush()

    def flush(self) -> bool:
        """Send what is queued, as far as the other side reads; whether that was all that it was given. On the loop's thread."""
        while self._queue and not self._overrun and self._out.buffered < BUFFERED_BYTES:
            first = self._queue[0]
            if callable(first):
                self._queue.popleft()
                first()
            else:
                self._send_some(first[1])
        with self._room:
            self._room.notify_all()
        return not self._queue and not self._overrun

    def stop(self) -> None:
        """Tell nothing more."""
        self._stopped = True
        self._queue.clear()
        with self._room:
            self._room.notify_all()

    @property
    def _over(self) -> bool:
        return self._overrun or self._stopped

    def _send_some(self, live: bool) -> None:
        changes: list[Change] = []
        while self._queue and len(changes) < TOLD_AT_ONCE:
            first = self._queue[0]
            if callable(first) or first[1] is not live:
                break
            self._queue.popleft()
            changes.append(first[0])
        if changes:
            self._send(changes, live)

    def _drain(self) -> None:
        # Before, not after: who appends from here on schedules again.
        self._scheduled = False
        if not self.flush() and not self._over:
            self._scheduled = True
            self._loop.call_later(LOOK_SECONDS, self._drain)

    def _overran(self) -> None:
        if not self._stopped:
            self._lag()


def to_loop(loop: asyncio.AbstractEventLoop, act: Callable[..., None], *arguments: Any) -> None:
    """Have the loop's thread do this, from any thread; nothing when the loop has ended."""
    try:
        loop.call_soon_threadsafe(act, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise
