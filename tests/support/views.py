"""Real small parts for tests of the view: records without a log, a shard that folds them, and a whole view over a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from eventresults.codec.events import encode_event
from eventresults.domain.events import Event
from eventresults.domain.projection import Projection
from eventresults.log.base import Log, Poll, Record
from eventresults.projector import Lifetimes, fold_poll
from eventresults.recorder import Appender, Recorder
from eventresults.service.local import LocalView
from eventresults.service.memoryplace import MemoryPlace
from eventresults.service.places import Place
from eventresults.view import keys
from eventresults.view.base import Change, Store
from eventresults.view.memory import MemoryStore
from eventresults.view.shard import Head, Shard
from tests.support.events import LOG_EPOCH

T = TypeVar("T")
DEADLINE = 10.0


def until(ask: Callable[[], T], *, timeout: float = DEADLINE) -> T:
    """Ask until the answer is true, and return it; an AssertionError at the deadline."""
    deadline = time.monotonic() + timeout
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.002)
    return answer


def record(event: Event, offset: int, *, log_time: int | None = None) -> Record:
    """One event as a log holds it; one millisecond of log time passes per record unless it is given."""
    return Record(offset, LOG_EPOCH + offset if log_time is None else log_time, event.subject.encode(), encode_event(event))


class Folding:
    """One shard and its head, folded poll by poll, as a projector would."""

    def __init__(
        self,
        store: Store | None = None,
        *,
        partition: int = 0,
        lifetimes: Lifetimes | None = None,
        projections: Sequence[Projection] = (),
        **shard: Any,
    ) -> None:
        self.projections = projections
        self.store = store or MemoryStore()
        self.shard = Shard(self.store, partition, **shard)
        self.head = self.shard.head() or Head(log_id="a-log", partitions=1)
        self.lifetimes = lifetimes or Lifetimes()
        self.log_time = LOG_EPOCH

    def poll(self, records: Sequence[Record], *, next_offset: int | None = None) -> list[Change]:
        """Fold one poll and commit it."""
        behind = records[-1].offset + 1 if records else self.head.next_offset
        poll = Poll(records, behind if next_offset is None else next_offset)
        folded = fold_poll(self.shard, self.head, poll, self.lifetimes, projections=self.projections)
        self.shard.commit(folded.batch)
        self.head = folded.batch.head
        return list(folded.changes())

    def tell(self, *events: Event, after: int = 0) -> list[Change]:
        """One poll of these events; `after` ms pass before the first, and one with each."""
        records = []
        self.log_time += after
        for event in events:
            records.append(record(event, self.head.next_offset + len(records), log_time=self.log_time))
            self.log_time += 1
        return self.poll(records)

    def history(self, subject: str) -> list[int]:
        """The offsets of what is told of this subject, oldest first."""
        meta = self.shard.task(subject) or self.shard.group(subject)
        assert meta is not None
        return [fact.position.offset for fact in self.shard.history(subject, meta.last_offset)][::-1]


def rows(store: Store, tag: bytes = b"") -> dict[bytes, bytes]:
    """Every row with this tag (or all of them), as they are."""
    return dict(store.scan(tag, keys.after(tag)) if tag else store.scan(b"\x00", b"\xff"))


class FakeClock:
    """Milliseconds since the epoch, moved by the test: the log's clock and the reader's."""

    def __init__(self, now: int = LOG_EPOCH) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@contextmanager
def viewing(
    log: Log, place: Place | None = None, *, appender: Appender | None = None, **settings: Any
) -> Iterator[tuple[LocalView, Recorder]]:
    """A view over this log and a recorder beside it, closed afterwards; the log stays open."""
    mine = appender or Appender(log)
    options: Mapping[str, Any] = {"lifetimes": Lifetimes(), "read_timeout": DEADLINE, "connect_timeout": DEADLINE, **settings}
    view = LocalView(log, place or MemoryPlace(MemoryStore), mine.own, **options)
    try:
        yield view, Recorder(mine, worker="w1")
    finally:
        view.close()
        if appender is None:
            mine.close()


def tell_life(recorder: Recorder, ids: Iterable[str], *, name: str = "add") -> None:
    """Each of these tasks is sent, started and succeeds with its own id."""
    for task_id in ids:
        recorder.sent(task_id, name=name)
        recorder.started(task_id)
        recorder.succeeded(task_id, result=task_id, result_expires=86_400)
