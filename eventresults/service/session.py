"""One reader at the other end of a connection: what it asks, and how much it may hold up (nothing).

A session lives on the event loop of the server that made it. What may wait goes to a pool of threads. What it watches: see
`eventresults.service.watches`.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import Final

from eventresults.codec import plain
from eventresults.errors import Closed, EventResultsError, ViewError, ViewStale
from eventresults.service.feed import Outgoing, to_loop
from eventresults.service.served import Pool, Served
from eventresults.service.watches import Watches
from eventresults.view import protocol, travel
from eventresults.view.base import Wanted

logger = logging.getLogger(__name__)

#: Questions of one connection that may wait for an answer.
OPEN_QUESTIONS: Final = 10_000
#: Ids that are looked up on the loop's thread, which has others to serve; more go to the pool.
AT_ONCE: Final = 64
#: Bytes of tasks in one answer: it may be one task more.
ANSWERED_BYTES: Final = 16 * 1024 * 1024
#: The longest that anything is waited for, in seconds.
LONGEST: Final = 3600.0


class Session:
    """One connection. All methods belong to the loop's thread."""

    def __init__(self, served: Served, out: Outgoing, *, pool: Pool, loop: asyncio.AbstractEventLoop, pid: int) -> None:
        self._served = served
        self._out = out
        self._pool = pool
        self.loop = loop
        self._watches = Watches(served, out, tell=self._tell, drop=self._drop, loop=loop, pool=pool)
        self._open = 0
        self._closed = False
        self._logs_before = served.view.logs_before
        view = served.view
        self._send(
            protocol.Hello(protocol.VERSION, served.log_id(), served.generation(), pid, {p: view.position(p) for p in view.partitions})
        )

    @property
    def watched(self) -> int:
        """How many ids it watches."""
        return len(self._watches)

    def received(self, message: bytes) -> None:
        """The reader said something."""
        if self._closed:
            return
        try:
            said = protocol.request(message)
        except EventResultsError as error:
            logger.warning("a connection to the view is dropped: %s", error)
            self._send(travel.failed(0, error))
            self._drop()
            return
        try:
            self._take(said)
        except Closed:  # this owner resigned, or closes: whoever owns the view next answers
            self.leave()

    def _take(self, said: protocol.Request) -> None:
        if self._is_of_before():
            self._drop()
            return
        match said:
            case protocol.Tasks() if not said.needed and len(said.ids) <= AT_ONCE and (found := self._at_once(said)) is not None:
                self._send(found)
            case protocol.Watch():
                self._watches.add(said)
            case protocol.Unwatch():
                self._watches.remove(said.ids)
            case protocol.WatchRevokes():
                self._watches.add_revokes()
            case _:
                self._ask(said)

    def beat(self) -> None:
        """Say that the owner lives."""
        positions = self._served.view.told
        # Where not all is told that lies before these positions, it says no more than that it lives.
        self._tell(protocol.Beat(positions if self._watches.flush() else {}))

    def leave(self) -> None:
        """The owner goes."""
        self._send(protocol.Leaving())
        self._drop()

    def _drop(self) -> None:
        self._out.close()
        self.closed()

    def moved(self, partition: int, position: int) -> None:
        """This partition has left; all changes before `position` are on their way."""
        self._watches.moved(partition, position)

    def closed(self) -> None:
        """The connection ended. Idempotent."""
        self._closed = True
        self._watches.close()

    # Questions

    def _at_once(self, said: protocol.Tasks) -> protocol.Answer | None:
        try:
            found = self._served.reader.at_once(said.ids, travel.read_freshness(said.freshness))
        except Closed:
            raise
        except (EventResultsError, ValueError) as error:
            return travel.failed(said.call, error)
        return None if found is None else protocol.Metas(said.call, found)

    def _ask(self, said: protocol.Question) -> None:
        if self._open >= OPEN_QUESTIONS:
            busy = ViewStale(
                f"{self._open:,} questions of this process wait for an answer already: ask later.", reason="too many questions"
            )
            self._send(travel.failed(said.call, busy))
            return
        self._open += 1
        deadline = monotonic() + min(max(said.timeout, 0.0), LONGEST)

        def work() -> None:
            try:
                frame = _frame(self._answer(said, max(deadline - monotonic(), 0.0)))
            except Closed:  # this owner resigned, or closes: whoever owns the view next answers
                to_loop(self.loop, self.leave)
                return
            except Exception as error:
                if not isinstance(error, EventResultsError | ValueError):
                    logger.exception("a question of another process failed")
                frame = _frame(travel.failed(said.call, error))
            to_loop(self.loop, self._answered, frame)

        self._pool.submit(work)

    def _answered(self, frame: bytes) -> None:
        self._open -= 1
        if not self._closed:
            self._out.send(frame)

    def _answer(self, said: protocol.Question, timeout: float) -> protocol.Answer:
        reader = self._served.reader
        begun = monotonic()
        if isinstance(said, protocol.Ask):
            return protocol.Said(said.call, self._served.answer(said.what, said.arguments, timeout))
        try:
            reader.reach(said.needed, timeout)
        except ViewStale:
            if isinstance(said, protocol.Reach):
                return protocol.Said(said.call, answer=False)
            raise
        if isinstance(said, protocol.Reach):
            return protocol.Said(said.call, answer=True)
        return self._look(said, max(timeout - (monotonic() - begun), 0.0))

    def _look(self, said: protocol.Lookup, left: float) -> protocol.Answer:
        reader = self._served.reader
        freshness = travel.read_freshness(said.freshness)
        match said:
            case protocol.Tasks():
                found = reader.get_many(said.ids, freshness=freshness, timeout=left)
                return protocol.Metas(said.call, [found[one] for one in said.ids])
            case protocol.Group():
                return protocol.OneGroup(said.call, reader.group(said.id, freshness=freshness, timeout=left, brief=said.brief))
            case protocol.History():
                told = reader.history_page(said.id, said.starts, ANSWERED_BYTES, freshness=freshness, timeout=left)
                return protocol.Facts(said.call, [travel.wire_fact(fact) for fact in told.facts], told.earlier)
            case protocol.Recent():
                page = reader.recent(**said.query, freshness=freshness, timeout=left)
                return protocol.Page(said.call, list(page.items), page.cursor)
            case protocol.Opened():
                found_open = reader.opened(**said.query, freshness=freshness, timeout=left)
                return protocol.Open(said.call, [(row.subject, row.facts) for row in found_open.items], found_open.cursor)
            case protocol.Projected():
                query = dict(said.query)
                states = reader.projected(partitions=query.pop("partitions"), wanted=Wanted(**query), freshness=freshness, timeout=left)
                return protocol.States(said.call, [(key, plain.pack(state)) for key, state in states.items], states.after)

    def _is_of_before(self) -> bool:
        """Whether it began with a log that was deleted since: what was told means nothing any more, so let it begin anew."""
        return self._served.view.logs_before != self._logs_before

    def _tell(self, message: protocol.Reply) -> None:
        if self._is_of_before():
            self._drop()
        else:
            self._send(message)

    def _send(self, message: protocol.Reply) -> None:
        if not self._closed:
            self._out.send(_frame(message))


def _frame(message: protocol.Reply) -> bytes:
    """As it travels: of many tasks as many as may in one answer."""
    frame = protocol.encode(message)
    while len(frame) > ANSWERED_BYTES and isinstance(message, protocol.Metas) and len(message.tasks) > 1:
        most = max(len(message.tasks) * ANSWERED_BYTES // len(frame), 1)
        message = protocol.Metas(message.call, message.tasks[:most])
        frame = protocol.encode(message)
    if len(frame) > protocol.MAX_FRAME_BYTES and isinstance(message, protocol.Found | protocol.Said):
        large = ViewError(f"the answer takes {len(frame):,} bytes, over {protocol.MAX_FRAME_BYTES:,}: ask for less at once.")
        frame = protocol.encode(travel.failed(message.call, large))
    return frame
