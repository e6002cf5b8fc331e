"""The sweep: rows whose time is over leave the shard, a few with every poll.

It decides nothing, for reads look at the time themselves, and an expired row counts as none in the fold. The log's own time drives it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eventresults.codec import rows
from eventresults.codec.events import decode_event
from eventresults.domain.events import GroupFact, TaskEvent, UnknownEvent
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.errors import EventCorrupt
from eventresults.view import agenda, keys
from eventresults.view.shard import NEVER, Batch, Shard

#: What looking at a segment costs, in rows.
_SEGMENT = 16
#: What may be in the history of a group.
_OF_GROUPS = (GroupFact, UnknownEvent)


def sweep(shard: Shard, batch: Batch, *, now: int, keep: int, most: int) -> int:
    """Add to the batch the removal of what has been over for `keep` ms at the log time `now`; the number of rows removed.

    Looks at about `most` rows. What the batch itself refreshes stays.
    """
    if shard.next_due > now:
        batch.next_due = shard.next_due
        return 0
    swept = looked = 0
    # From where the last sweep ended: before it lie only the traces of what that removed, which cost a seek dearly.
    for index, raw in shard.scan(keys.EXPIRY + keys.number(shard.next_due), keys.after(keys.EXPIRY)):
        begins = int.from_bytes(index[1:9])
        if begins > now or looked >= most:
            batch.next_due = begins
            break
        batch.deletes.append(index)
        for at, row in agenda.read(raw):
            if at > now or looked >= most:
                batch.agenda.append((at, row))
                continue
            looked += _SEGMENT if row[:1] == keys.HISTORY else 1
            due = _due(shard, batch, row, keep)
            if due is not None and due <= now:
                _remove(shard, batch, row)
                swept += 1
            elif due is not None and due < NEVER:
                batch.agenda.append((due, row))
    return swept


def _due(shard: Shard, batch: Batch, row: bytes, keep: int) -> int | None:
    """The log time from which this row may go, as of the batch; None when it is gone already."""
    tag = row[:1]
    if tag == keys.DEAD:
        return 0
    if tag == keys.HISTORY:
        return _segment_due(shard, batch, row, keep)
    meta = _meta(shard, batch, row)
    return None if meta is None else due(meta, keep)


def due(meta: TaskMeta | GroupMeta, keep: int) -> int:
    """The log time at which a row goes when it is kept for `keep` ms after its end."""
    return NEVER if meta.expires_at is None else meta.expires_at + keep


def _meta(shard: Shard, batch: Batch, row: bytes) -> TaskMeta | GroupMeta | None:
    tag, name = row[:1], row[1:].decode()
    if tag == keys.STATE:
        return batch.tasks.get(name) or shard.task(name)
    return batch.groups.get(name) or shard.group(name)


def _segment_due(shard: Shard, batch: Batch, row: bytes, keep: int) -> int | None:
    """A segment goes with the last of the rows whose history it holds."""
    raw = shard.get(row)
    if raw is None:
        return None
    wanted: set[bytes] = set()
    for event in _events(shard, rows.decode_segment(raw)):
        if isinstance(event, _OF_GROUPS):
            wanted.add(keys.group(event.subject))
        if not isinstance(event, GroupFact):
            wanted.add(keys.state(event.subject))
    return max((due(meta, keep) for one in wanted if (meta := _meta(shard, batch, one)) is not None), default=0)


def _events(shard: Shard, entries: Sequence[rows.Entry]) -> Iterator[TaskEvent | UnknownEvent]:
    """For each of these records an event of the same id: its own, or where only its key told the id, one before it in its history."""
    found: dict[int, TaskEvent | UnknownEvent | None] = {}
    for previous, offset, _, value in entries:
        event = found[offset] = _event(value) or (found[previous] if previous in found else _event_before(shard, previous))
        if event is not None:
            yield event


def _event_before(shard: Shard, offset: int) -> TaskEvent | UnknownEvent | None:
    """The latest event up to this one in its history that tells its id; None when that is no longer there, as then its row is not."""
    while (entry := shard.segment(offset).get(offset)) is not None:
        offset, _, _, value = entry
        if (event := _event(value)) is not None:
            return event
    return None


def _event(value: bytes) -> TaskEvent | UnknownEvent | None:
    try:
        return decode_event(value)
    except EventCorrupt:  # of an unknown kind, whose id is in its key
        return None


def _remove(shard: Shard, batch: Batch, row: bytes) -> None:
    tag, name = row[:1], row[1:]
    batch.deletes.append(row)
    if tag in {keys.STATE, keys.GROUP}:
        batch.puts.pop(keys.opened(row), None)
        batch.deletes.append(keys.opened(row))
    if tag == keys.GROUP:
        batch.groups.pop(name.decode(), None)
    if tag != keys.STATE:
        return
    # Whichever life of it is listed, in the store or by this batch.
    for meta in (shard.task(name.decode()), batch.tasks.pop(name.decode(), None)):
        if meta is not None:
            listed = keys.recent(meta.born_at, meta.task_id)
            batch.puts.pop(listed, None)
            batch.deletes.append(listed)
