"""The view of one partition: typed rows over a Store.

One thread commits; any thread reads. What a commit wrote is seen by every read that begins after it, and rows touched lately are
kept decoded, so that the fold of a task in flight reads no disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from msgspec import Struct

from eventresults.codec import plain, rows
from eventresults.codec.events import decode_event
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position
from eventresults.errors import ViewCorrupt
from eventresults.view import agenda, keys
from eventresults.view.agenda import Due
from eventresults.view.base import Fact, Store

#: Raised whenever the meaning of rows, or of the fold, changes: an older view is then rebuilt from the log.
SCHEMA = 4
SEGMENT_RECORDS = 64
#: Later than any log time.
NEVER = 2**63 - 1

Meta = TypeVar("Meta", TaskMeta, GroupMeta)


class Head(Struct, frozen=True):
    """How far a shard is, and of which log.

    `next_offset` is where to read on; `last_offset` and `fingerprint` name the last folded record (-1: none), by which a log that
    was cut and grew anew is noticed; `log_time` is that record's. `counts` are totals over the life of this generation.
    """

    log_id: str
    partitions: int
    next_offset: int = 0
    last_offset: int = -1
    fingerprint: bytes = b""
    log_time: int = 0
    schema: int = SCHEMA
    counts: dict[str, int] = {}
    #: The projections that were folded up to here: see `eventresults.view.projected`.
    projections: dict[str, dict[str, Any]] = {}

    @property
    def fresh(self) -> bool:
        """Whether nothing was folded yet."""
        return self.last_offset < 0 and not self.counts

    def encode(self) -> bytes:
        """The head's row."""
        return plain.pack(self)

    @classmethod
    def decode(cls, raw: bytes) -> Head:
        """Read the head's row, also another version's (see `schema`); raises `ViewCorrupt`."""
        found = plain.unpack(raw)
        try:
            return cls(**{name: found[name] for name in cls.__struct_fields__ if name in found})
        except TypeError as error:
            raise ViewCorrupt(
                f"The head of a shard cannot be read ({error}): run `eventresults view rebuild`.", reason=str(error)
            ) from error


class DeadLetter(NamedTuple):
    """A record that did not parse, and why."""

    position: Position
    log_time: int
    reason: str
    key: bytes | None
    value: bytes | None


@dataclass
class Batch:
    """What one poll changes in a shard; committed whole."""

    head: Head
    tasks: dict[str, TaskMeta] = field(default_factory=dict)
    groups: dict[str, GroupMeta] = field(default_factory=dict)
    puts: dict[bytes, bytes] = field(default_factory=dict)
    deletes: list[bytes] = field(default_factory=list)
    #: What the sweep is to look at, and when.
    agenda: list[Due] = field(default_factory=list)
    #: Of what was on the agenda before, nothing need be looked at before this log time.
    next_due: int = NEVER


class Recently(Generic[Meta]):
    """Decoded rows touched lately: two generations, of which the older one is dropped whole.

    A generation is full at `most` rows or at `most_bytes` of their encoding.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._young: dict[str, Meta] = {}
        self._old: dict[str, Meta] = {}

    def get(self, subject: str) -> Meta | None:
        """The row, if it was touched lately. Any thread."""
        return self._young.get(subject) or self._old.get(subject)

    def update(self, metas: dict[str, Meta], size: int) -> None:
        """Keep these rows, of `size` bytes in all. The committing thread only."""
        self._young.update(metas)
        self._bytes += size
        if len(self._young) > self._most or self._bytes > self._most_bytes:
            # The old one first: a reader who finds nothing in the new young one must still find it here.
            self._old, self._young, self._bytes = self._young, {}, 0

    def drop(self, subject: str) -> None:
        """Forget this row. The committing thread only."""
        self._old.pop(subject, None)
        self._young.pop(subject, None)


class Shard:
    """Typed rows over one Store."""

    def __init__(self, store: Store, partition: int, *, cached_rows: int = 5_000, cached_bytes: int = 32 * 1024 * 1024) -> None:
        self.partition = partition
        #: No row need be looked at by the sweep before this log time.
        self.next_due = 0
        self._store = store
        self._tasks: Recently[TaskMeta] = Recently(cached_rows, cached_bytes)
        self._groups: Recently[GroupMeta] = Recently(cached_rows // 10 + 1, cached_bytes)

    def head(self) -> Head | None:
        """Where the shard stands; None for a new one. Raises `ViewCorrupt`."""
        raw = self._store.get(keys.HEAD)
        return None if raw is None else Head.decode(raw)

    def task(self, task_id: str) -> TaskMeta | None:
        """The row of one task, tombstones and expired ones included."""
        meta = self._tasks.get(task_id)
        if meta is None and (raw := self._store.get(keys.state(task_id))) is not None:
            meta = rows.decode_task(raw)
        return meta

    def tasks(self, task_ids: Iterable[str]) -> dict[str, TaskMeta]:
        """The rows of many tasks, those that are there."""
        found = {}
        missing = []
        recently = self._tasks.get
        for task_id in task_ids:
            if (meta := recently(task_id)) is not None:
                found[task_id] = meta
            else:
                missing.append(task_id)
        if missing:
            for task_id, raw in zip(missing, self._store.get_many([keys.state(i) for i in missing]), strict=True):
                if raw is not None:
                    found[task_id] = rows.decode_task(raw)
        return found

    def group(self, group_id: str) -> GroupMeta | None:
        """The row of one group, tombstones and expired ones included."""
        meta = self._groups.get(group_id)
        if meta is None and (raw := self._store.get(keys.group(group_id))) is not None:
            meta = rows.decode_group(raw)
        return meta

    def history(self, subject: str, last_offset: int, *, read: dict[int, rows.Entry] | None = None) -> Iterator[Fact]:
        """The facts of this subject that lead to this offset, newest first, as far as the shard still holds them.

        `read`: entries by offset that were read before, added to; for who asks of many subjects, whose facts lie in the same segments.
        """
        offset, key = last_offset, subject.encode()
        entries: dict[int, rows.Entry] = {} if read is None else read
        while offset >= 0:
            if offset not in entries:
                if read is None:
                    entries.clear()
                entries.update(self.segment(offset))
            entry = entries.get(offset)
            if entry is None:
                return
            previous, _, log_time, value = entry
            if previous >= offset:
                raise ViewCorrupt(
                    f"The history of {subject[:64]!r} runs in a circle at {self.partition}:{offset}: run `eventresults view rebuild`.",
                    reason="history runs in a circle",
                )
            at = Position(self.partition, offset)
            yield Fact(at, log_time, decode_event(value, key=key, position=at))
            offset = previous

    def segment(self, offset: int) -> dict[int, rows.Entry]:
        """The records of history, by offset, among which this one is if it is there at all."""
        for _, raw in self._store.scan(keys.HISTORY, keys.history(offset + 1), reverse=True):
            return {entry[1]: entry for entry in rows.decode_segment(raw)}
        return {}

    def get(self, key: bytes) -> bytes | None:
        """One raw row."""
        return self._store.get(key)

    def get_many(self, row_keys: Sequence[bytes]) -> list[bytes | None]:
        """Raw rows, in the order of their keys."""
        return self._store.get_many(row_keys)

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Raw rows as they are at this call, for indexes and for whole-view walks."""
        return self._store.scan(start, stop, reverse=reverse)

    def dead_letters(self) -> Iterator[DeadLetter]:
        """The records that did not parse, in log order."""
        for _, raw in self._store.scan(keys.DEAD, keys.after(keys.DEAD)):
            yield self.dead_letter(raw)

    def dead_letter(self, raw: bytes) -> DeadLetter:
        """The dead letter in this raw row."""
        offset, log_time, reason, key, value = plain.unpack(raw)
        return DeadLetter(Position(self.partition, offset), log_time, reason, key, value)

    def commit(self, batch: Batch) -> None:
        """Write one poll, all or nothing, rows and head together."""
        puts = batch.puts
        tasks_size = groups_size = 0
        for task_id, task in batch.tasks.items():
            row = puts[keys.state(task_id)] = rows.encode_task(task)
            tasks_size += len(row)
        for group_id, group in batch.groups.items():
            row = puts[keys.group(group_id)] = rows.encode_group(group)
            groups_size += len(row)
        puts.update(agenda.written(batch.agenda))
        puts[keys.HEAD] = batch.head.encode()
        self._store.commit(puts, batch.deletes)
        for key in batch.deletes:
            if key not in puts:
                self._drop(key)
        self._tasks.update(batch.tasks, tasks_size)
        self._groups.update(batch.groups, groups_size)
        self.next_due = min(batch.next_due, min(batch.agenda)[0]) if batch.agenda else batch.next_due

    def _drop(self, key: bytes) -> None:
        if key.startswith(keys.STATE):
            self._tasks.drop(key[1:].decode())
        elif key.startswith(keys.GROUP):
            self._groups.drop(key[1:].decode())

    def size(self) -> int:
        """About how many bytes the shard takes."""
        return self._store.size()

    def checkpoint(self, path: Path) -> None:
        """Make the new folder `path` a copy of one moment, rows and head of the same commit. See `Store.checkpoint`."""
        self._store.checkpoint(path)

    def close(self) -> None:
        """Idempotent."""
        self._store.close()
