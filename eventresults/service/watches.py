"""What one connection watches: told live, and first, where its reader was told before, what history holds from there on.

What is told comes from the projector's thread into a queue of bounded length, and from there to the connection in one go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from eventresults.errors import ViewStale
from eventresults.projector import Gate, replay
from eventresults.service.feed import Feed, Outgoing, to_loop
from eventresults.service.served import Pool, Served
from eventresults.view import protocol, travel
from eventresults.view.base import Change, Listener, Subscription

logger = logging.getLogger(__name__)

#: Ids that one connection may watch.
WATCHED_IDS: Final = 1_000_000
#: Bytes of changes in one message: it may be one change more.
TOLD_BYTES: Final = 1024 * 1024
#: Between two looks whether the view, filled anew, is as far as a reader was told before.
FILL_SECONDS: Final = 0.1


class Watches:
    """Of one session, on its loop's thread.

    `tell` sends a message, and `drop` ends the connection: its reader connects again, and asks again from where it is.
    """

    def __init__(
        self,
        served: Served,
        out: Outgoing,
        *,
        tell: Callable[[protocol.Reply], None],
        drop: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
        pool: Pool,
    ) -> None:
        self._served = served
        self._out = out
        self._tell = tell
        self._drop = drop
        self._loop = loop
        self._pool = pool
        self._watched: dict[str, Listener] = {}
        self._revokes: Subscription | None = None
        self._closed = False
        self._feed = self._make_feed()

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, said: protocol.Watch) -> None:
        """Tell of these ids from now on, and first of what history holds from `said.after` on."""
        ids = [one for one in dict.fromkeys(said.ids) if one not in self._watched]
        if len(self._watched) + len(ids) > WATCHED_IDS:
            logger.warning("a connection is ended that would watch more than %d ids: watch fewer, or by several processes", WATCHED_IDS)
            self._out.close()
            return
        listeners = self._served.view.guests
        if said.after is None:
            self._watched.update(dict.fromkeys(ids, self._feed))
            listeners.add(ids, self._feed)
            self._tell_missing(ids)
            return
        gate = Gate(self._feed, self._feed.overrun)
        self._watched.update(dict.fromkeys(ids, gate))
        listeners.add(ids, gate)
        self._tell_missing(ids)
        self._pool.submit(self._catch_up, said.call, ids, said.after, gate, self._feed)

    def add_revokes(self) -> None:
        """Tell of every request to revoke from now on."""
        if self._revokes is None:
            self._revokes = self._served.view.guests.add_for_revokes(self._feed)

    def _catch_up(self, call: int, ids: Sequence[str], after: Mapping[int, int], gate: Gate, feed: Feed) -> None:
        """On a thread of the pool: tell what history holds, then let through what came meanwhile."""
        served = self._served
        try:
            shards = served.view.shards
            missing = self._not_filled(after)
            if missing:
                to_loop(self._loop, self._catch_up_once_filled, missing, (call, ids, after, gate, feed))
                return
            positions = served.view.reached()
            for change in replay(served.view, served.log, ids, after, positions, served.lifetimes):
                if not feed.from_history(change):
                    return
            if any(served.view.shards.get(partition) is not shards.get(partition) for partition in after):
                raise _replaced()  # noqa: TRY301 - what took their place may not hold that history yet
        except Exception as error:  # noqa: BLE001 - the reader connects again, and asks again from where it is
            logger.warning("the history of what another process watches could not be told: %s", error)
            to_loop(self._loop, self._drop)
            return
        gate.open(positions)
        to_loop(self._loop, feed.then, lambda: self._tell(protocol.Watching(call, positions)))

    def _not_filled(self, after: Mapping[int, int]) -> dict[int, int]:
        """The offsets that a view must reach before history can be told, when it is being filled anew: not beyond the log's end."""
        view = self._served.view
        told = view.told
        needed = {p: max(offset, after.get(p, 0)) for p, offset in told.items()}
        short = {p: offset for p, offset in needed.items() if view.position(p) < offset}
        if short:
            ends = self._served.log.ends(sorted(short), FILL_SECONDS * 50)
            short = {p: min(offset, ends[p]) for p, offset in short.items() if view.position(p) < min(offset, ends[p])}
        return short

    def _catch_up_once_filled(self, missing: Mapping[int, int], what: tuple[Any, ...]) -> None:
        if self._closed:
            return
        view = self._served.view
        if all(partition not in view.partitions or view.position(partition) >= offset for partition, offset in missing.items()):
            self._pool.submit(self._catch_up, *what)
        else:
            self._loop.call_later(FILL_SECONDS, self._catch_up_once_filled, missing, what)

    def moved(self, partition: int, position: int) -> None:
        """This partition has left; all changes before `position` are on their way."""
        self._feed.then(lambda: self._tell(protocol.Moved(partition, position)))

    def _tell_missing(self, ids: Sequence[str]) -> None:
        for partition in self._served.missing(ids):
            self.moved(partition, -1)

    def remove(self, ids: Sequence[str]) -> None:
        """Tell of these no more."""
        by_listener: dict[Listener, list[str]] = {}
        for one in ids:
            listener = self._watched.pop(one, None)
            if listener is not None:
                by_listener.setdefault(listener, []).append(one)
        if not self._watched:
            self._watched = {}  # an emptied dict keeps the room that its entries took
        for listener, these in by_listener.items():
            self._served.view.guests.remove(tuple(these), listener)

    def flush(self) -> bool:
        """Send what is queued, as far as the other side reads; whether that was all that is to be told."""
        return self._feed.flush()

    def close(self) -> None:
        """Tell nothing more. Idempotent."""
        self._closed = True
        self._stop()

    def _stop(self) -> None:
        self.remove(list(self._watched))
        if self._revokes is not None:
            self._revokes.close()
            self._revokes = None
        self._feed.stop()

    def _lag(self) -> None:
        """It does not read as fast as things happen: it has to ask again."""
        self._stop()
        self._feed = self._make_feed()
        self._tell(protocol.Lagged())

    def _make_feed(self) -> Feed:
        return Feed(self._loop, self._out, self._tell_changes, self._lag)

    def _tell_changes(self, changes: Sequence[Change], live: bool) -> None:
        told: list[protocol.WireChange] = []
        size = 0
        for change in changes:
            wire = travel.wire_change(change)
            told.append(wire)
            size += len(wire[1][3]) + len(wire[3])
            if size >= TOLD_BYTES:
                self._tell(protocol.Changes(live, told))
                told, size = [], 0
        if told:
            self._tell(protocol.Changes(live, told))


def _replaced() -> ViewStale:
    return ViewStale("The view was replaced while its history was told: connect again, and ask again.", reason="replaced meanwhile")
