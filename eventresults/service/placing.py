"""What is watched in a group follows its partition: a thread places it with the new member, from where the old one was."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Final

from eventresults.codec.ids import key_of
from eventresults.errors import EventResultsError, ViewUnavailable
from eventresults.log.membership import GroupLog
from eventresults.log.own import OwnWrites
from eventresults.service.links import Link
from eventresults.service.missed import tell_missed_revokes
from eventresults.service.routes import CONNECT_SECONDS, Routes
from eventresults.view.listeners import Listeners

logger = logging.getLogger(__name__)

RETRY_SECONDS: Final = 0.1
JOIN_SECONDS: Final = 4.0


class Placing:
    """Keeps what `listeners` listen to watched with whoever has its partition. Its thread begins with the first of them."""

    def __init__(self, routes: Routes, log: GroupLog, own: OwnWrites, listeners: Listeners) -> None:
        self._routes = routes
        self._log = log
        self._own = own
        self._listeners = listeners
        # Partitions are caught up with one by one, and moved again before that is done: whatever comes again is not told again.
        listeners.catch_up()
        #: Where the ids of each partition are watched, and before which offset its listeners were told everything.
        self._watched_at: dict[int, Link] = {}
        #: Where that was asked for. A connection that was not asked yet has told nothing, whatever position it names.
        self._asked_at: dict[int, Link] = {}
        self._told: dict[int, int] = {}
        self._log_id: str | None = None
        #: Those that were deleted; a member may take a moment to notice that its own is among them.
        self._logs_before: set[str] = set()
        self._to_place: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def watch(self, partition: int, ids: Sequence[str]) -> None:
        """These, of this partition, are listened to from now on."""
        link = self._watched_at.get(partition)
        if link is None:
            self.place([partition])
        else:
            # If it is lost just now, all that is listened to moves, from before this moment.
            link.watch(ids, None)

    def unwatch(self, ids: Sequence[str]) -> None:
        """Nobody listens to these any more. Waits for nothing."""
        for link in self._routes.links:
            link.unwatch(ids)

    def place(self, partitions: Iterable[int]) -> None:
        """Have what is listened to in these watched."""
        for partition in partitions:
            self._to_place.put(partition)
        with self._lock:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="eventresults-group", daemon=True)
                self._thread.start()

    def moved(self, link: Link, partition: int, position: int) -> None:
        """On the thread of this connection: the partition has left that member."""
        if self._watched_at.get(partition) is link:
            if self._asked_at.pop(partition, None) is link and position >= 0 and link.log_id == self._log_id:
                self._told[partition] = position
            if position == 0:
                self._listeners.forget_told(partition)
            self._watched_at.pop(partition, None)
        self._routes.forget([partition], link.address)
        self.place([partition])

    def lost(self, link: Link) -> None:
        """On the thread of this connection, once all that it told was told."""
        self._routes.drop(link)  # before we look: what is placed there from now on sees it, and what was is seen here
        left = [partition for partition, at in list(self._watched_at.items()) if at is link]
        for partition in left:
            if self._asked_at.pop(partition, None) is link and link.log_id == self._log_id:
                self._told[partition] = link.told(partition) or self._told.get(partition, 0)
            self._watched_at.pop(partition, None)
        self.place(left)

    def close(self) -> None:
        """Place nothing more. Idempotent; close the routes first."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._to_place.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        waiting: set[int] = set()
        while not self._closed:
            try:
                partition = self._to_place.get(timeout=RETRY_SECONDS if waiting else None)
            except queue.Empty:
                pass
            else:
                if partition is None:
                    return
                waiting.add(partition)
            for one in sorted(waiting):
                try:
                    self._place_now(one)
                    waiting.discard(one)
                except EventResultsError as error:
                    if not self._closed:
                        logger.info("what is watched in partition %d waits for its member: %s", one, error)
                except Exception:
                    logger.exception("what is watched in partition %d could not be placed; trying again", one)

    def _place_now(self, partition: int) -> None:
        if partition in self._watched_at or not self._listeners:
            return
        link = self._routes.link(partition, monotonic() + CONNECT_SECONDS)
        if link.log_id in self._logs_before:
            message = f"The member at {link.address} has not noticed yet that its log was deleted and created again: wait a moment."
            raise ViewUnavailable(message, services=[link.address])
        if self._log_id is not None and self._log_id != link.log_id:
            self._logs_before.add(self._log_id)
            self._told.clear()
            self._listeners.caught_up()  # of another log, nothing was told
            self._listeners.catch_up()
            self._own.forget_acknowledged()
        self._log_id = link.log_id
        after = self._told.get(partition)
        self._watched_at[partition] = link
        if link not in self._routes.links:
            if self._watched_at.pop(partition, None) is not None:
                self.place([partition])
            return
        ids = [one for one in self._listeners.subjects() if self._log.partition_for(key_of(one)) == partition]
        link.watch(ids, {partition: after or 0})
        self._asked_at[partition] = link
        if self._listeners.of_revokes:
            link.watch_revokes()
            if after is not None:
                tell_missed_revokes(self._log, {partition: after}, self._listeners)
