"""One poll of one partition becomes one batch: rows, indexes, history and the next offset together."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from eventresults.codec import plain, rows
from eventresults.codec.events import read
from eventresults.domain.events import TaskRevokeRequested, UnknownEvent
from eventresults.domain.fold import reason_dropped
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position
from eventresults.domain.projection import Projection
from eventresults.errors import EventCorrupt
from eventresults.log.base import Poll, Record
from eventresults.projector.running import Running
from eventresults.projector.states import Lifetimes, States
from eventresults.view import keys
from eventresults.view.base import Change, Fact
from eventresults.view.openrows import open_group, open_task
from eventresults.view.shard import SEGMENT_RECORDS, Batch, Head, Shard
from eventresults.view.sweep import sweep

#: A dead letter keeps at most this much of the record's value, and of its key; the log keeps all of it.
DEAD_LETTER_BYTES = 64 * 1024
DEAD_LETTER_KEY_BYTES = 1024
#: Rows that the sweep looks at with each poll, at least; it keeps pace with large polls.
SWEEP_ROWS = 256


class Folded(NamedTuple):
    """One poll, folded: what to commit, and what it was made of."""

    batch: Batch
    shard: Shard
    records: Sequence[Record]
    states: States
    #: Ids whose changes were kept, and those changes.
    watched: set[str]
    kept: list[Change]
    #: Ids of which a revoke request was folded.
    requested: set[str]

    def changes(self, wanted: Callable[[str, bool], bool] = lambda _id, _requested: True) -> Iterator[Change]:
        """In log order, at least the changes of the ids for which `wanted(id, a revoke request of it was folded)` holds.

        Few are ever told, and a poll that keeps all its events and states costs more than folding a few once more: those of ids that
        began to be watched while the poll was folded.
        """
        met = self.states.tasks.keys() | self.states.groups.keys()
        late = {subject for subject in met if subject not in self.watched and wanted(subject, subject in self.requested)}
        if late:
            yield from sorted([*self.kept, *self._again(late)], key=lambda change: change.fact.position)
        else:
            yield from self.kept

    def _again(self, late: set[str]) -> Iterator[Change]:
        states = self.states.again()
        for record in self.records:
            if _named_by(record.key) not in late:
                continue
            at = Position(self.shard.partition, record.offset)
            try:
                event, _ = read(record.value, record.key or b"", at)
            except EventCorrupt:  # it is among the dead letters
                continue
            before, after = states.tell(event, at, record.log_time, self.shard)
            if after is not None and after is not before:
                yield Change(event.subject, Fact(at, record.log_time, event), after)


#: Makes a position in half the time of calling it.
_position = tuple.__new__


def fingerprint(record: Record) -> bytes:
    """Sixteen bytes that name a record's content: its offset, key and value."""
    key, value = (b"\xff" if part is None else len(part).to_bytes(8, "big") + part for part in (record.key, record.value))
    return hashlib.blake2b(record.offset.to_bytes(8, "big") + key + value, digest_size=16).digest()


def fold_poll(
    shard: Shard,
    head: Head,
    poll: Poll,
    lifetimes: Lifetimes,
    *,
    watched: Callable[[Collection[str]], set[str]] = lambda _: set(),
    projections: Sequence[Projection] = (),
) -> Folded:
    """Fold what one poll of this shard's partition gave. Reads the shard, changes nothing in it.

    `watched` says whose changes will be told, of the ids it is given. `projections` are told each fact that counts.
    """
    records = poll.records
    # A record's key is its subject, or the record is a dead letter: one look for all rows, before anything is decoded.
    subjects = {_named_by(key) for key in {record.key for record in records}}
    states = States(shard.tasks(subjects), {}, lifetimes)
    running = Running(shard, head, projections) if projections else None
    fold = _Fold(shard, Batch(head), states, lifetimes, watched(subjects), running)
    fold.tell(records)
    fold.finish()
    last = records[-1] if records else None
    log_time = last.log_time if last else head.log_time
    batch, counts = fold.batch, fold.counts
    counts["swept"] = sweep(shard, batch, now=log_time, keep=lifetimes.history, most=max(SWEEP_ROWS, 2 * len(records)))
    counts["records"] = len(records)
    marks = {} if running is None else running.batch_into(batch)
    total = dict(head.counts)
    for name, number in counts.items():
        if number:
            total[name] = total.get(name, 0) + number
    batch.head = replace(
        head,
        next_offset=poll.next_offset,
        last_offset=last.offset if last else head.last_offset,
        fingerprint=fingerprint(last) if last else head.fingerprint,
        log_time=log_time,
        counts=total,
        projections=marks,
    )
    return Folded(batch, shard, records, states, fold.watched, fold.kept, fold.requested)


class _Fold:
    """The facts of one poll on their way into a batch."""

    def __init__(
        self, shard: Shard, batch: Batch, states: States, lifetimes: Lifetimes, watched: set[str], running: Running | None
    ) -> None:
        self.batch = batch
        self._running = running
        self.watched = watched
        self.kept: list[Change] = []
        self.counts: defaultdict[str, int] = defaultdict(int)
        self.requested: set[str] = set()
        self._shard = shard
        self._partition = shard.partition
        self._states = states
        self._keep = lifetimes.history
        self._keep_dead = lifetimes.unfinished + lifetimes.history
        #: The history of the poll, and for each of its facts the log time (ms) at which its row goes.
        self._entries: list[rows.Entry] = []
        self._untils: list[int | None] = []

    def tell(self, records: Iterable[Record]) -> None:
        """Fold these records, and remember them as history."""
        # The hot loop: what it needs stands in names of its own.
        partition, shard, states, watched, running = self._partition, self._shard, self._states, self.watched, self._running
        entries, untils = self._entries, self._untils
        for record in records:
            offset, log_time, key, value = record
            at = _position(Position, (partition, offset))
            try:
                # A record without a key lies in no partition in particular: no id may be looked for there.
                event, unknown_fields = read(value, key or b"", at)
            except EventCorrupt as error:
                self._bury(record, error)
                continue
            before, after = states.tell(event, at, log_time, shard)
            kind = type(event)
            if unknown_fields or kind is UnknownEvent:
                self.counts["unknown_fields" if unknown_fields else "unknown_kinds"] += 1
            if after is before or after is None:
                self.counts[reason_dropped(before, event, at)] += 1
                continue
            if kind is TaskRevokeRequested:
                self.requested.add(event.subject)
            if watched and event.subject in watched:
                self.kept.append(Change(event.subject, Fact(at, log_time, event), after))
            if running is not None:
                running.tell(event, at, log_time, before, after)
            entries.append((-1 if before is None else before.last_offset, offset, log_time, value or b""))
            untils.append(after.expires_at)

    def finish(self) -> None:
        """The batch then holds the history, and the last state of each subject."""
        self.counts["folded"] = len(self._entries)
        for at in range(0, len(self._entries), SEGMENT_RECORDS):
            self._put_segment(self._entries[at : at + SEGMENT_RECORDS], self._untils[at : at + SEGMENT_RECORDS])
        self._put_tasks()
        self._put_groups()

    def _bury(self, record: Record, error: EventCorrupt) -> None:
        self.counts["dead"] += 1
        letter = keys.dead(record.offset)
        self.batch.puts[letter] = _dead_letter(record, error)
        self.batch.agenda.append((record.log_time + self._keep_dead, letter))

    def _put_segment(self, entries: list[rows.Entry], untils: list[int | None]) -> None:
        key = keys.history(entries[0][1])
        self.batch.puts[key] = rows.encode_segment(entries)
        # A row that stays for ever keeps its history.
        if None not in untils:
            self.batch.agenda.append((max(untils) + self._keep, key))  # type: ignore[type-var, operator]

    def _put_tasks(self) -> None:
        before, batch = self._states.tasks_before, self.batch
        for task_id, meta in self._states.tasks.items():
            old = before.get(task_id)
            if meta is old:
                continue
            batch.tasks[task_id] = meta
            self._list(old, meta)
            if meta.revoke_request is not None or (old is not None and old.revoke_request is not None):
                self._put_open(keys.state(task_id), open_task(old), open_task(meta))
            self._expire(keys.STATE, task_id, old, meta)

    def _list(self, old: TaskMeta | None, new: TaskMeta) -> None:
        """List the task by the time of its birth, while it exists."""
        was = old.born_at if old is not None and old.phase == "alive" else None
        now = new.born_at if new.phase == "alive" else None
        if was != now:
            if was is not None:
                self.batch.deletes.append(keys.recent(was, new.task_id))
            if now is not None:
                self.batch.puts[keys.recent(now, new.task_id)] = b""

    def _put_groups(self) -> None:
        before = self._states.groups_before
        for group_id, meta in self._states.groups.items():
            old = before[group_id]
            if meta is not None and meta is not old:
                row = keys.group(group_id)
                self.batch.groups[group_id] = meta
                self._put_open(row, open_group(old), open_group(meta))
                self._expire(keys.GROUP, group_id, old, meta)

    def _put_open(self, row: bytes, old: bytes | None, new: bytes | None) -> None:
        """List what stands open in this row, and no more what does not."""
        if new is None:
            if old is not None:
                self.batch.deletes.append(keys.opened(row))
        elif new != old:
            self.batch.puts[keys.opened(row)] = new

    def _expire(self, tag: bytes, subject: str, old: TaskMeta | GroupMeta | None, new: TaskMeta | GroupMeta) -> None:
        """Have the sweep look at this row in time.

        A row may be looked at too early (the sweep then looks again when it is due), never too late: so a deadline that only moved
        back needs no new entry.
        """
        if new.expires_at is not None and (old is None or old.expires_at is None or new.expires_at < old.expires_at):
            self.batch.agenda.append((new.expires_at + self._keep, tag + subject.encode()))


def _named_by(key: bytes | None) -> str:
    return (key or b"").decode(errors="replace")


def _dead_letter(record: Record, error: EventCorrupt) -> bytes:
    key = record.key and record.key[:DEAD_LETTER_KEY_BYTES]
    value = record.value and record.value[:DEAD_LETTER_BYTES]
    return plain.pack([record.offset, record.log_time, str(error), key, value])
