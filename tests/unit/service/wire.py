"""A session and a remote view, joined without sockets: real messages through queues, and a projector that a test moves by hand."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from eventresults.codec.ids import key_of
from eventresults.domain.events import Event
from eventresults.log.base import Poll
from eventresults.log.memory import MemoryLog
from eventresults.log.own import OwnWrites
from eventresults.projector import Lifetimes, fold_poll
from eventresults.reading import FreshReader
from eventresults.service.pool import Pool
from eventresults.service.served import Served
from eventresults.service.session import Session
from eventresults.view.base import Change
from eventresults.view.channel import Gone, Silent
from eventresults.view.listeners import Listeners
from eventresults.view.live import LiveView
from eventresults.view.memory import MemoryStore
from eventresults.view.shard import Head, Shard
from tests.support.views import record

DEADLINE = 10.0


class Shown:
    """A view of two partitions and what is served of it, moved by `tell`."""

    def __init__(self, told: dict[int, int] | None = None, stores: Sequence[MemoryStore] | None = None) -> None:
        self.log = MemoryLog(partitions=2)
        self.stores = stores or [MemoryStore(), MemoryStore()]
        self.shards = {p: Shard(store, p) for p, store in enumerate(self.stores)}
        self.heads = {p: shard.head() or Head(log_id="a-log", partitions=2) for p, shard in self.shards.items()}
        self.view = LiveView(self.shards, {p: head.next_offset for p, head in self.heads.items()}, told=told)
        self.answer = lambda what, arguments, timeout: [what, arguments]
        self.served = Served(
            view=self.view,
            reader=FreshReader(self.view, self.log, OwnWrites()),
            log=self.log,
            log_id=lambda: "a-log",
            generation=lambda: 1,
            lifetimes=Lifetimes(),
            answer=lambda what, arguments, timeout: self.answer(what, arguments, timeout),  # noqa: PLW0108 - a test may set it
        )

    def commit(self, *events: Event) -> list[tuple[int, int, list[Change]]]:
        """Fold them as one poll per partition, and commit that; what is then to be published."""
        by_partition: dict[int, list[Event]] = {}
        for event in events:
            by_partition.setdefault(self.log.partition_for(key_of(event.subject)), []).append(event)
        told = []
        for partition, some in by_partition.items():
            head = self.heads[partition]
            records = [record(event, head.next_offset + index) for index, event in enumerate(some)]
            folded = fold_poll(self.shards[partition], head, Poll(records, records[-1].offset + 1), Lifetimes())
            self.shards[partition].commit(folded.batch)
            self.heads[partition] = folded.batch.head
            told.append((partition, folded.batch.head.next_offset, list(folded.changes())))
        return told

    def tell(self, *events: Event) -> None:
        """As `commit`, and publish it."""
        for partition, position, changes in self.commit(*events):
            self.view.publish(partition, position, changes)


class Wire:
    """Both ends of a connection to what is shown: a `Channel` for the reader, an `Outgoing` for the session. Cut after so many frames."""

    def __init__(
        self, shown: Shown, loop: asyncio.AbstractEventLoop, pool: Pool, *, cut_after: int | None = None, reads: bool = True
    ) -> None:
        self._frames: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._left = cut_after
        self.loop = loop
        #: While this is not set the reader takes nothing.
        self.reads = threading.Event()
        if reads:
            self.reads.set()
        self._unread = 0
        self.closed = False
        self.frames: list[bytes] = []

        async def begin() -> Session:
            return Session(shown.served, self, pool=pool, loop=loop, pid=1)

        self.session = asyncio.run_coroutine_threadsafe(begin(), loop).result(DEADLINE)

    def do(self, act, *arguments):
        """On the loop's thread; its result."""

        async def call():
            return act(*arguments)

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(DEADLINE)

    # The session's end

    @property
    def buffered(self) -> int:
        return self._unread

    # The reader's end

    def receive(self) -> bytes:
        if not self.reads.wait(DEADLINE):
            raise Silent
        frame = self._frames.get(timeout=DEADLINE)
        if frame is None:
            raise Gone("closed")
        self._unread -= len(frame)
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Gone("cut")
        return frame

    @property
    def pending(self) -> bool:
        return self.reads.is_set() and not self._frames.empty()

    def send(self, *messages: bytes) -> None:
        """Of either end: the loop's thread is the session's."""
        for message in messages:
            if threading.current_thread().name == "test-loop":
                self.frames.append(message)
                self._unread += len(message)
                self._frames.put(message)
            elif self.closed:
                raise Gone("closed")
            else:
                self.loop.call_soon_threadsafe(self.session.received, message)

    def end(self) -> None:
        self.closed = True
        self._frames.put(None)

    def close(self) -> None:
        self.end()
        if threading.current_thread().name != "test-loop":
            self.loop.call_soon_threadsafe(self.session.closed)

    def leave_to_parent(self) -> None:
        """Nothing is inherited."""


@contextmanager
def running_loop() -> Iterator[tuple[asyncio.AbstractEventLoop, Pool]]:
    """An event loop in a thread, and a pool."""
    loop = asyncio.SelectorEventLoop()
    thread = threading.Thread(target=loop.run_forever, name="test-loop")
    thread.start()
    pool = Pool(4, "test-pool")
    try:
        yield loop, pool
    finally:
        pool.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(DEADLINE)
        loop.close()


class Heard:
    """Listeners who note what they are told."""

    def __init__(self, *subjects: str) -> None:
        self.listeners = Listeners()
        self.changes: list[Change] = []
        if subjects:
            self.listeners.add(subjects, self.changes.append)

    def of(self, subject: str) -> list[tuple[int, object]]:
        """What was told of one id: offsets and states."""
        return [(change.fact.position.offset, change.meta) for change in self.changes if change.subject == subject]
