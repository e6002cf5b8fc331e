"""Server-sent events: the history of some ids after a position vector, then what comes, without gap or double.

Each event's id is the vector to go on from. A client that does not keep up is told that it lags and let go: it comes back with that id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from eventresults.codec.readable import fact_row
from eventresults.domain.position import Position
from eventresults.service.web.answers import encoded
from eventresults.service.web.limits import Limits
from eventresults.service.web.query import Newness, Vector, check_names, newness, parse_vector, shown_vector, stream_ids
from eventresults.service.web.questions import Questions
from eventresults.view.base import Change, Fact, Subscription, ViewReader

logger = logging.getLogger(__name__)

#: How long a client shall wait before it comes back, in milliseconds.
RETRY_MS = 1_000
#: About how much is written at once.
WRITE_BYTES = 64 * 1024

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class Streams:
    """The endpoint, and the streams that are open."""

    def __init__(self, reader: ViewReader, questions: Questions, limits: Limits) -> None:
        self._reader = reader
        self._questions = questions
        self._limits = limits
        self._open: set[Tail] = set()

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._open)

    @property
    def watched(self) -> int:
        """How many ids they follow."""
        return sum(tail.width for tail in self._open)

    async def events(self, request: Request) -> EventStream:
        """Follow some ids, from the `Last-Event-ID` header, or from `after`, or from the beginning."""
        check_names(request, ("ids", "after", "freshness", "timeout"))
        ids, how = stream_ids(request, self._limits), newness(request, self._limits)
        came_from = request.headers.get("last-event-id")
        after = parse_vector(request.query_params.get("after", "") if came_from is None else came_from, "after")
        tail = Tail(asyncio.get_running_loop(), self._limits, len(ids))
        self._open.add(tail)

        def begin() -> Past:
            # Subscribe first and read second: nothing falls between.
            tail.attach(self._reader.subscribe(ids, tail.told))
            return past(self._reader, ids, after, how)

        try:
            found = await self._questions.ask(begin)
        except BaseException:
            self._close(tail)
            raise
        return EventStream(self, tail, found, self._limits)

    def stop(self) -> None:
        """End them all: their clients come back, to whoever serves then."""
        for tail in self._open:
            tail.stop()

    def _close(self, tail: Tail) -> None:
        self._open.discard(tail)
        tail.close()


class Past(NamedTuple):
    """What history holds after a vector, in log order per partition, and the vector up to which that is all there is."""

    facts: Sequence[tuple[str, Fact]]
    vector: Vector


def past(reader: ViewReader, ids: Sequence[str], after: Vector, how: Newness) -> Past:
    """Read it. Every fact of these ids up to the vector that it returns is in it, or was before `after`."""
    reader.get_many(ids, **how)  # one question to the log brings the view as far as all of them need

    def tell() -> list[tuple[str, Fact]]:
        return [(one, fact) for one in ids for fact in reader.history(one, freshness="applied", timeout=how["timeout"])]

    told = tell()
    vector = dict(after)
    for _, fact in told:
        partition, offset = fact.position
        vector[partition] = max(vector.get(partition, -1), offset)
    if len(ids) > 1:
        # Those read first may lack what was folded before the last was read. What is folded by now holds all up to the vector.
        told = tell()
    wanted = [
        (one, fact)
        for one, fact in told
        if after.get(fact.position.partition, -1) < fact.position.offset <= vector.get(fact.position.partition, -1)
    ]
    # Log time never falls within a partition, so this is log order in each.
    wanted.sort(key=lambda item: (item[1].log_time, item[1].position))
    return Past(wanted, vector)


class Tail:
    """What comes, from the projector's thread to the event loop, within bounds. When they are reached it drops all, and lags."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, width: int) -> None:
        #: How many ids it follows.
        self.width = width
        self.lagged = False
        self.stopped = False
        #: Set when there is something to do.
        self.news = asyncio.Event()
        self._loop = loop
        self._limits = limits
        self._lock = threading.Lock()
        self._subscription: Subscription | None = None
        self._closed = False
        self._inbox: deque[Change] = deque()
        self._overrun = False
        self._called = False
        self._waiting: deque[tuple[Position, bytes]] = deque()
        self._bytes = 0

    def attach(self, subscription: Subscription) -> None:
        """This is where it comes from. Any thread."""
        with self._lock:
            self._subscription = subscription
            closed = self._closed
        if closed:  # meanwhile, by a client that did not wait
            subscription.close()

    def told(self, change: Change) -> None:
        """Take one change, on the projector's thread."""
        with self._lock:
            if self._overrun or self._closed:
                return
            if len(self._inbox) >= self._limits.stream_changes:
                self._overrun = True
                self._inbox.clear()
            else:
                self._inbox.append(change)
            if self._called:
                return
            self._called = True
        # A loop that is closed has no clients left.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._take)

    def take(self, most: int = WRITE_BYTES) -> list[tuple[Position, bytes]]:
        """What has come, about so many bytes of it. On the event loop."""
        taken: list[tuple[Position, bytes]] = []
        size = 0
        while self._waiting and size < most:
            position, data = self._waiting.popleft()
            self._bytes -= len(data)
            size += len(data)
            taken.append((position, data))
        if not self._waiting:
            self.news.clear()
        return taken

    def stop(self) -> None:
        """Have its stream end."""
        self.stopped = True
        self.news.set()

    def close(self) -> None:
        """Stop listening. Idempotent."""
        with self._lock:
            self._closed = True
            subscription, self._subscription = self._subscription, None
            self._inbox.clear()
        self._waiting.clear()
        if subscription is not None:
            subscription.close()

    def _take(self) -> None:
        with self._lock:
            changes, self._inbox, self._called = self._inbox, deque(), False
            overrun = self._overrun
        for change in changes:
            if overrun or self.lagged:
                break
            data = data_of(change.subject, change.fact)
            self._waiting.append((change.fact.position, data))
            self._bytes += len(data)
            overrun = self._bytes > self._limits.stream_bytes
        if overrun and not self.lagged:
            self.lagged = True
            self._waiting.clear()
            self.close()
        self.news.set()


class EventStream:
    """The answer: an ASGI application, as Starlette's own answers are."""

    def __init__(self, streams: Streams, tail: Tail, found: Past, limits: Limits) -> None:
        self._streams = streams
        self._tail = tail
        self._past = found
        self._limits = limits
        self._vector: Vector = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write until the client leaves, lags, or the service stops."""
        leaving = asyncio.create_task(self._until_left(receive))
        try:
            await self._send(send, {"type": "http.response.start", "status": 200, "headers": HEADERS})
            if scope["method"] != "HEAD":
                await self._write(send, leaving)
            if not leaving.done():
                await self._send(send, {"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            logger.warning("a client of /api/v1/events took nothing for %g s and was dropped", self._limits.stalled_seconds)
        finally:
            leaving.cancel()
            self._streams._close(self._tail)  # noqa: SLF001 - of the same file

    async def _write(self, send: Send, leaving: asyncio.Task[None]) -> None:
        tail = self._tail
        await self._body(send, f"retry: {RETRY_MS}\n\n".encode())
        await self._write_past(send, leaving)
        self._vector = {**self._past.vector}
        self._past = Past((), {})
        while not leaving.done():
            events = [
                self._event(position, data) for position, data in tail.take() if position.offset > self._vector.get(position.partition, -1)
            ]
            if events:
                await self._body(send, b"".join(events))
            elif tail.lagged or tail.stopped:
                break
            else:
                await self._wait(send)
        if tail.lagged:
            said = {"reason": "this client did not keep up: come back with the last event's id", "after": shown_vector(self._vector)}
            await self._body(send, b"event: lagged\ndata: " + encoded(said) + b"\n\n")
        elif tail.stopped:
            await self._body(send, b": the service stops\n\n")

    async def _write_past(self, send: Send, leaving: asyncio.Task[None]) -> None:
        """The vector of each event holds what is written up to it, and what the client had before."""
        facts, ends = self._past
        first: Vector = {}
        for _, fact in facts:
            first.setdefault(fact.position.partition, fact.position.offset)
        self._vector = {partition: first.get(partition, end + 1) - 1 for partition, end in ends.items()}
        chunk = bytearray()
        for subject, fact in facts:
            chunk += self._event(fact.position, data_of(subject, fact))
            if len(chunk) > WRITE_BYTES:
                await self._body(send, bytes(chunk))
                chunk.clear()
                if leaving.done():
                    return
        if chunk:
            await self._body(send, bytes(chunk))

    def _event(self, position: Position, data: bytes) -> bytes:
        self._vector[position.partition] = position.offset
        vector = {partition: offset for partition, offset in self._vector.items() if offset >= 0}
        return b"id: " + shown_vector(vector).encode() + b"\ndata: " + data + b"\n\n"

    async def _wait(self, send: Send) -> None:
        try:
            async with asyncio.timeout(self._limits.keep_alive_seconds) as scope:
                await self._tail.news.wait()
        except TimeoutError:
            if not scope.expired():
                raise
            await self._body(send, b": still here\n\n")
        else:
            self._tail.news.clear()

    async def _body(self, send: Send, body: bytes) -> None:
        await self._send(send, {"type": "http.response.body", "body": body, "more_body": True})

    async def _send(self, send: Send, message: dict[str, object]) -> None:
        async with asyncio.timeout(self._limits.stalled_seconds):
            await send(message)

    async def _until_left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._tail.news.set()


def data_of(subject: str, fact: Fact) -> bytes:
    """One fact as the data of an event."""
    return encoded({"id": subject, **fact_row(fact)})
