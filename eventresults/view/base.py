"""What a view is made of: a `Store` of bytes per partition, and the `ViewReader` that callers ask.

A Store knows nothing of tasks and never waits. A ViewReader knows nothing of logs. `eventresults.view.live` makes one of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from eventresults.domain.events import TaskEvent, UnknownEvent
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position

#: How new an answer must be: "default" (a SUCCESS at once, all else linearizable), "latest" (always ask the log's end),
#: "applied" (what is there), or a position that the view must have folded.
Freshness = Literal["default", "latest", "applied"] | Position
#: What may stand open: a group whose parts have all ended and whose body was not sent; a task whose revocation was asked for.
Openness = Literal["group", "revoke"]


class Store(Protocol):
    """The bytes of one shard: an ordered map with atomic batches. Reads may come from any thread, commits from one."""

    def get(self, key: bytes) -> bytes | None:
        """The value of one key; None when it is not there."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of many keys, in their order."""

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < stop in key order, or backwards. Closing the iterator early is cheap."""

    def commit(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes] = ()) -> None:
        """Apply the deletes and then the puts, all or nothing, also across a crash of this process. Raises `ViewError`."""

    def size(self) -> int:
        """About how many bytes it takes."""

    def checkpoint(self, path: Path) -> None:
        """Make the new folder `path` a copy of one moment, which a store of the same kind opens.

        It holds every commit that ended before this call, whole ones of those under way, and nothing else. Reads and commits go on.
        On the same file system it takes next to no space. Any thread. Raises `ViewError`, also when there is something at `path`.
        """

    def close(self) -> None:
        """Idempotent; a later call to the others raises `Closed`."""


class Fact(NamedTuple):
    """One fact as history tells it."""

    position: Position
    log_time: int
    event: TaskEvent | UnknownEvent


class Change(NamedTuple):
    """One fact that was folded just now, and the state after it (None: the life ended). Published in log order.

    `fact.event` is there already decoded; `meta` is a `GroupMeta` for a group's fact.
    """

    subject: str
    fact: Fact
    meta: TaskMeta | GroupMeta | None


class TaskPage(NamedTuple):
    """One page of tasks, newest first. `cursor` continues it; None: that was the end. A short page with a cursor is not the end."""

    items: list[TaskMeta]
    cursor: str | None


class OpenRow(NamedTuple):
    """Something that waits for somebody to see to it: a task or group of this id, and what is known of the matter."""

    subject: str
    facts: dict[str, Any]


class OpenPage(NamedTuple):
    """One page of what stands open, by id. `cursor` continues it; None: that was the end."""

    items: list[OpenRow]
    cursor: str | None


class Wanted(NamedTuple):
    """States of a projection that are asked for: of these `keys`, or (None) a page of those that begin with `prefix` and follow `after`.

    `version`: the one that the asker knows, which whoever answers must run; None: any.
    """

    name: str
    version: int | None = None
    keys: Sequence[str] | None = None
    prefix: str = ""
    after: str | None = None
    limit: int = 1_000


class ProjectedPage(NamedTuple):
    """States by key, in the order of the keys. `after` continues it; None: that was the end."""

    items: list[tuple[str, Any]]
    after: str | None


class Subscription(Protocol):
    """A live stream of changes of some ids."""

    def close(self) -> None:
        """Stop it. Never blocks; idempotent; safe in `__del__`."""


class Listener(Protocol):
    """Called with every change of the ids it subscribed to. Must return at once: it runs on the projector's thread."""

    def __call__(self, change: Change, /) -> None:
        """Take one change (enqueue it; never run user code here)."""


class ViewReader(Protocol):
    """What a caller may ask of a view, whoever holds it. Safe to call from many threads.

    Every method that takes `freshness` and `timeout` raises `ViewStale` when an answer that new could not be had within `timeout`
    seconds (None: the `read_timeout` setting), `TopicMisconfigured` when the log's partitions changed, which no waiting heals, and `Closed`
    once the view is closed. Forgotten, expired and merely requested ids
    read as None.
    """

    def get(self, task_id: str, *, freshness: Freshness = "default", timeout: float | None = None) -> TaskMeta | None:
        """What is known of one task."""

    def get_many(
        self, task_ids: Sequence[str], *, freshness: Freshness = "default", timeout: float | None = None
    ) -> dict[str, TaskMeta | None]:
        """What is known of many, by id: one question to the log for all of them."""

    def group(
        self, group_id: str, *, freshness: Freshness = "default", timeout: float | None = None, brief: bool = False
    ) -> GroupMeta | None:
        """What is known of one group; with `brief`, without its payloads: `parts`, `body`, `structure`, `results`."""

    def history(self, subject: str, *, freshness: Freshness = "default", timeout: float | None = None) -> list[Fact]:
        """Every fact of one task or group that the view still holds, oldest first, earlier lives included."""

    def recent(
        self,
        *,
        state: str | None = None,
        name: str | None = None,
        since: int | None = None,
        until: int | None = None,
        limit: int = 100,
        cursor: str | None = None,
        freshness: Freshness = "default",
        timeout: float | None = None,
    ) -> TaskPage:
        """Tasks by the log time (ms) of their first fact, since <= time < until, newest first.

        A page reads at most 50,000 index rows. Raises ValueError for a cursor that this method did not make.
        """

    def opened(
        self,
        kind: Openness,
        *,
        limit: int = 1_000,
        cursor: str | None = None,
        freshness: Freshness = "default",
        timeout: float | None = None,
    ) -> OpenPage:
        """What stands open, by id: see `eventresults.view.openrows` for the kinds and what their rows tell.

        A page holds at most `limit` rows. Raises ValueError for a cursor that this method did not make.
        """

    def projected(self, wanted: Wanted, *, freshness: Freshness = "default", timeout: float | None = None) -> ProjectedPage:
        """States of a projection, merged over all partitions; of `keys` those that have one.

        Raises `ProjectionUnknown` when it is not run where the view is held, `ProjectionFailed` when its code failed, `ViewStale` also
        while it is built anew, and ValueError for a limit below 1.
        """

    def subscribe(self, subjects: Iterable[str], listener: Listener) -> Subscription:
        """From now on call `listener` with every change of these ids. To miss nothing, subscribe first and read second."""

    def unsubscribe(self, subjects: Iterable[str], listener: Listener) -> None:
        """End one subscription of this listener for each of these ids, of however many it was; for who keeps no `Subscription` of each.

        Never blocks; safe in `__del__`.
        """

    def open_revokes(self, listener: Listener) -> Subscription:
        """Call `listener` with every `task-revoke-requested` fact folded from now on, whatever its task."""

    def close(self) -> None:
        """Idempotent."""
