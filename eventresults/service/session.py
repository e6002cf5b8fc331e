"""One reader at the other end of a connection: what it asks, what it watches, and how much it may hold up (nothing).

A session lives on the event loop of the server that made it. What may wait goes to a pool of threads; what is told comes from the
projector's thread into a queue of bounded length, and from there to the connection in one go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol

from eventresults.codec import plain
from eventresults.errors import Closed, EventResultsError, ViewError, ViewStale
from eventresults.log.base import Log
from eventresults.projector import Gate, Lifetimes, replay
from eventresults.reading import FreshReader
from eventresults.service.feed import Feed, Outgoing, to_loop
from eventresults.view import protocol
from eventresults.view.base import Change, Listener, Wanted
from eventresults.view.live import LiveView

logger = logging.getLogger(__name__)

#: Questions of one connection that may wait for an answer.
OPEN_QUESTIONS: Final = 10_000
#: Ids that one connection may watch.
WATCHED_IDS: Final = 1_000_000
#: Ids that are looked up on the loop's thread, which has others to serve; more go to the pool.
AT_ONCE: Final = 64
#: Bytes of tasks in one answer, and of changes in one message: both may be one task more.
ANSWERED_BYTES: Final = 16 * 1024 * 1024
TOLD_BYTES: Final = 1024 * 1024
#: The longest that anything is waited for, in seconds.
LONGEST: Final = 3600.0
#: Between two looks whether the view, filled anew, is as far as a reader was told before.
FILL_SECONDS: Final = 0.1


class Served(NamedTuple):
    """What a server lets others read."""

    view: LiveView
    reader: FreshReader
    log: Log
    log_id: Callable[[], str]
    generation: Callable[[], int]
    lifetimes: Lifetimes
    #: Answers `protocol.Ask`: called with what, its arguments and a timeout, on a thread of the pool.
    answer: Callable[[str, Mapping[str, Any], float], Any]
    #: Which partitions of these ids are not here; only a group's member lacks some.
    missing: Callable[[Sequence[str]], Collection[int]] = lambda _: ()


class Pool(Protocol):
    """Threads that may wait."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any) -> Any:
        """Call it on one of them."""


class Session:
    """One connection. All methods belong to the loop's thread."""

    def __init__(self, served: Served, out: Outgoing, *, pool: Pool, loop: asyncio.AbstractEventLoop, pid: int) -> None:
        self._served = served
        self._out = out
        self._pool = pool
        self.loop = loop
        self._watched: dict[str, Listener] = {}
        self._feed = Feed(loop, out, self._send_changes, self._lag)
        self._revokes: Any = None
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
        return len(self._watched)

    def received(self, message: bytes) -> None:
        """The reader said something."""
        if self._closed:
            return
        try:
            said = protocol.request(message)
        except EventResultsError as error:
            logger.warning("a connection to the view is dropped: %s", error)
            self._send(protocol.failed(0, error))
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
                self._watch(said)
            case protocol.Unwatch():
                self._unwatch(said.ids)
            case protocol.WatchRevokes():
                if self._revokes is None:
                    self._revokes = self._served.view.guests.add_for_revokes(self._feed)
            case _:
                self._ask(said)

    def beat(self) -> None:
        """Say that the owner lives."""
        if self._is_of_before():
            self._drop()
            return
        positions = self._served.view.told
        if self._feed.flush():
            self._send(protocol.Beat(positions))
        else:
            self._send(protocol.Beat({}))  # it lives, but not all before these positions is told

    def leave(self) -> None:
        """The owner goes."""
        self._send(protocol.Leaving())
        self._drop()

    def _drop(self) -> None:
        self._out.close()
        self.closed()

    def closed(self) -> None:
        """The connection ended. Idempotent."""
        self._closed = True
        self._stop_watching()

    # Questions

    def _at_once(self, said: protocol.Tasks) -> protocol.Answer | None:
        try:
            found = self._served.reader.at_once(said.ids, protocol.read_freshness(said.freshness))
        except Closed:
            raise
        except (EventResultsError, ValueError) as error:
            return protocol.failed(said.call, error)
        return None if found is None else protocol.Metas(said.call, found)

    def _ask(self, said: protocol.Question) -> None:
        if self._open >= OPEN_QUESTIONS:
            busy = ViewStale(
                f"{self._open:,} questions of this process wait for an answer already: ask later.", reason="too many questions"
            )
            self._send(protocol.failed(said.call, busy))
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
                frame = _frame(protocol.failed(said.call, error))
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
        freshness = protocol.read_freshness(said.freshness)
        match said:
            case protocol.Tasks():
                found = reader.get_many(said.ids, freshness=freshness, timeout=left)
                return protocol.Metas(said.call, [found[one] for one in said.ids])
            case protocol.Group():
                return protocol.OneGroup(said.call, reader.group(said.id, freshness=freshness, timeout=left, brief=said.brief))
            case protocol.History():
                told = reader.history_page(said.id, said.starts, ANSWERED_BYTES, freshness=freshness, timeout=left)
                return protocol.Facts(said.call, [protocol.wire_fact(fact) for fact in told.facts], told.earlier)
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

    # Watching

    def _watch(self, said: protocol.Watch) -> None:
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

    def _catch_up(self, call: int, ids: Sequence[str], after: Mapping[int, int], gate: Gate, feed: Feed) -> None:
        """On a thread of the pool: tell what history holds, then let through what came meanwhile."""
        served = self._served
        try:
            shards = served.view.shards
            missing = self._not_filled(after)
            if missing:
                to_loop(self.loop, self._catch_up_once_filled, missing, (call, ids, after, gate, feed))
                return
            positions = served.view.reached()
            for change in replay(served.view, served.log, ids, after, positions, served.lifetimes):
                if not feed.from_history(change):
                    return
            if any(served.view.shards.get(partition) is not shards.get(partition) for partition in after):
                raise _replaced()  # noqa: TRY301 - what took their place may not hold that history yet
        except Exception as error:  # noqa: BLE001 - the reader connects again, and asks again from where it is
            logger.warning("the history of what another process watches could not be told: %s", error)
            to_loop(self.loop, self._drop)
            return
        gate.open(positions)
        to_loop(self.loop, feed.then, lambda: self._send(protocol.Watching(call, positions)))

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
            self.loop.call_later(FILL_SECONDS, self._catch_up_once_filled, missing, what)

    def moved(self, partition: int, position: int) -> None:
        """This partition has left; all changes before `position` are on their way."""
        self._feed.then(lambda: self._send(protocol.Moved(partition, position)))

    def _tell_missing(self, ids: Sequence[str]) -> None:
        for partition in self._served.missing(ids):
            self.moved(partition, -1)

    def _unwatch(self, ids: Sequence[str]) -> None:
        by_listener: dict[Listener, list[str]] = {}
        for one in ids:
            listener = self._watched.pop(one, None)
            if listener is not None:
                by_listener.setdefault(listener, []).append(one)
        if not self._watched:
            self._watched = {}  # an emptied dict keeps the room that its entries took
        for listener, these in by_listener.items():
            self._served.view.guests.remove(tuple(these), listener)

    def _stop_watching(self) -> None:
        self._unwatch(list(self._watched))
        if self._revokes is not None:
            self._revokes.close()
            self._revokes = None
        self._feed.stop()

    def _lag(self) -> None:
        """It does not read as fast as things happen: it has to ask again."""
        self._stop_watching()
        self._feed = Feed(self.loop, self._out, self._send_changes, self._lag)
        self._send(protocol.Lagged())

    def _is_of_before(self) -> bool:
        """Whether it began with a log that was deleted since: what was told means nothing any more, so let it begin anew."""
        return self._served.view.logs_before != self._logs_before

    def _send_changes(self, changes: Sequence[Change], live: bool) -> None:
        if self._is_of_before():
            self._drop()
            return
        told: list[protocol.WireChange] = []
        size = 0
        for change in changes:
            wire = protocol.wire_change(change)
            told.append(wire)
            size += len(wire[1][3]) + len(wire[3])
            if size >= TOLD_BYTES:
                self._send(protocol.Changes(live, told))
                told, size = [], 0
        if told:
            self._send(protocol.Changes(live, told))

    def _send(self, message: protocol.Reply) -> None:
        if not self._closed:
            self._out.send(_frame(message))


def _replaced() -> ViewStale:
    return ViewStale("The view was replaced while its history was told: connect again, and ask again.", reason="replaced meanwhile")


def _frame(message: protocol.Reply) -> bytes:
    """As it travels: of many tasks as many as may in one answer."""
    frame = protocol.encode(message)
    while len(frame) > ANSWERED_BYTES and isinstance(message, protocol.Metas) and len(message.tasks) > 1:
        most = max(len(message.tasks) * ANSWERED_BYTES // len(frame), 1)
        message = protocol.Metas(message.call, message.tasks[:most])
        frame = protocol.encode(message)
    if len(frame) > protocol.MAX_FRAME_BYTES and isinstance(message, protocol.Found | protocol.Said):
        large = ViewError(f"the answer takes {len(frame):,} bytes, over {protocol.MAX_FRAME_BYTES:,}: ask for less at once.")
        frame = protocol.encode(protocol.failed(message.call, large))
    return frame
