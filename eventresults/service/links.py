"""One connection to one member of a group: what is asked there, and the ids that are watched there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from eventresults.log.base import Log
from eventresults.log.forked import leave_to_parent
from eventresults.log.own import OwnWrites
from eventresults.reading import RemoteReader
from eventresults.view.base import Change
from eventresults.view.listeners import Listeners
from eventresults.view.remote import RemoteView
from eventresults.view.websocket import WebSocketChannel


class Placed:
    """The part of a group's listeners whose ids one member serves."""

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self._lock = threading.Lock()
        self._ids: dict[str, None] = {}
        # Who comes and goes is placed by the group's view, which knows where.
        self.on_more: Callable[[Sequence[str]], None] = lambda _: None
        self.on_fewer: Callable[[Sequence[str]], None] = lambda _: None
        self.on_revokes: Callable[[], None] = lambda: None

    @property
    def of_revokes(self) -> Sequence[object]:
        """See `Audience.of_revokes`."""
        return self._listeners.of_revokes

    def subjects(self) -> list[str]:
        """The ids placed here."""
        with self._lock:
            return list(self._ids)

    def listens(self, subject: str, request: bool) -> bool:
        """See `Listeners.listens`."""
        return self._listeners.listens(subject, request)

    def tell(self, change: Change) -> None:
        """See `Listeners.tell`."""
        self._listeners.tell(change)

    def unhook(self) -> None:
        """Nobody asks by these hooks."""

    def catch_up(self) -> None:
        """See `Listeners.catch_up`: each partition is caught up with by itself."""

    def caught_up(self, until: Mapping[int, int] | None = None) -> None:
        """See `Listeners.caught_up`."""

    def put(self, ids: Collection[str]) -> list[str]:
        """Place these here; those that were not yet."""
        with self._lock:
            new = [one for one in ids if one not in self._ids]
            self._ids.update(dict.fromkeys(new))
        return new

    def take(self, ids: Collection[str]) -> list[str]:
        """Place these here no more; those that were."""
        with self._lock:
            return [one for one in ids if self._ids.pop(one, self) is None]


class Link:
    """A connection to the member at `address`. Raises what `WebSocketChannel` and `RemoteView` do."""

    def __init__(
        self,
        address: str,
        listeners: Listeners,
        log: Log,
        own: OwnWrites,
        *,
        token: str | None,
        timeout: float,
        read_timeout: float,
        on_lost: Callable[[Link], None],
        on_moved: Callable[[Link, int, int], None],
    ) -> None:
        self.address = address
        self._placed = Placed(listeners)
        channel = WebSocketChannel(address, token=token, timeout=timeout)
        self._view = RemoteView(
            channel,
            self._placed,
            name=address,
            on_lost=lambda _: on_lost(self),
            on_moved=lambda partition, position: on_moved(self, partition, position),
        )
        self.reader = RemoteReader(self._view, log, own, listeners, read_timeout=read_timeout)

    @property
    def log_id(self) -> str:
        """Of which log it tells."""
        return self._view.hello.log_id

    @property
    def lost(self) -> bool:
        """Whether it will answer no more."""
        return self._view.lost is not None

    def told(self, partition: int) -> int | None:
        """The offset before which every change of this partition was told; None if none was."""
        return self._view.told[1].get(partition)

    def watch(self, ids: Collection[str], after: Mapping[int, int] | None) -> None:
        """Watch these here, too; with `after`, also those that are watched here already, anew."""
        new = self._placed.put(ids)
        if after is not None and len(new) < len(ids):
            self._view.unwatch(list(ids))
            new = list(ids)
        if new:
            self._view.watch(new, after)

    def unwatch(self, ids: Collection[str]) -> None:
        """Watch these here no more. Waits for nothing."""
        gone = self._placed.take(ids)
        if gone:
            self._view.unwatch(gone)

    def watch_revokes(self) -> None:
        """Hear of every request to revoke that this member folds."""
        self._view.watch_revokes()

    def close(self) -> None:
        """End it. Idempotent."""
        self._view.close()

    def leave_to_parent(self) -> None:
        """In a forked child: it is the parent's."""
        self._view.leave_to_parent()
        leave_to_parent(self)
