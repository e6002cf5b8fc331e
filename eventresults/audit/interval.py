"""One signed stretch against the records that a log has of it: are they the same, and if not, where does it begin to differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from eventresults.audit import merkle
from eventresults.audit.chain import Entry, link_of, links
from eventresults.audit.checkpoint import Checkpoint
from eventresults.log.base import Record

Kind = Literal["altered", "removed", "inserted", "reordered", "cut", "differs"]


class Difference(NamedTuple):
    """The first position that differs from what was signed.

    Where nothing tells the links of single records, `offset` is the first of the stretch that differs somewhere, and `last` its last one.
    """

    partition: int
    offset: int
    last: int
    kind: Kind
    checkpoint: int

    def __str__(self) -> str:
        at = f"{self.partition}:{self.offset}"
        match self.kind:
            case "altered":
                return f"the record at {at} was altered"
            case "removed":
                return f"the record at {at} was removed"
            case "inserted":
                return f"the record at {at} was inserted"
            case "reordered":
                return f"the record at {at} is not the one that stood there: it stands elsewhere now"
            case "cut":
                return f"the log ends before {at}, which was signed: its tail was cut"
            case "differs":
                return f"the records from {at} to {self.partition}:{self.last} are not those that were signed"


#: Gives the links that a checkpoint signs; None when they cannot be had. Asked only where something differs.
Entries = Callable[[Checkpoint], Sequence[Entry] | None]


def compare(checkpoint: Checkpoint, before: bytes, records: Sequence[Record], entries: Entries, *, end: int) -> Difference | None:
    """Where these records of a checkpoint's stretch differ first from it; None when they are what was signed.

    `before` is the link before the first; `end` is where the log ends.
    """
    found = links(before, records)
    if len(found) == checkpoint.count and found[-1].hex() == checkpoint.head and merkle.root(found).hex() == checkpoint.root:
        return None
    known = entries(checkpoint)
    if known is None:
        if not records and end <= checkpoint.first:
            return _one(checkpoint, checkpoint.first, "cut")
        return _whole(checkpoint)
    return _first(checkpoint, before, records, known, end=end) or _whole(checkpoint)


def partly(
    checkpoint: Checkpoint, before: bytes, records: Sequence[Record], entries: Sequence[Entry], *, start: int, end: int
) -> Difference | None:
    """As `compare`, where the log begins at `start`, within the stretch: each record is compared with its own link."""
    index = sum(entry.offset < start for entry in entries)
    return _first(checkpoint, entries[index - 1].link if index else before, records, entries[index:], end=end)


def _first(checkpoint: Checkpoint, before: bytes, records: Sequence[Record], entries: Sequence[Entry], *, end: int) -> Difference | None:
    link = before
    for index, entry in enumerate(entries):
        if index == len(records):
            return _one(checkpoint, entry.offset, "cut" if end <= entry.offset else "removed")
        record = records[index]
        if record.offset < entry.offset:
            return _one(checkpoint, record.offset, "inserted")
        if record.offset > entry.offset:
            return _one(checkpoint, entry.offset, "removed")
        if link_of(link, record) != entry.link:
            return _one(checkpoint, record.offset, "reordered" if _elsewhere(link, entry, record, records) else "altered")
        link = entry.link
    return _one(checkpoint, records[len(entries)].offset, "inserted") if len(records) > len(entries) else None


def _whole(checkpoint: Checkpoint) -> Difference:
    return Difference(checkpoint.partition, checkpoint.first, checkpoint.last, "differs", checkpoint.number)


def _one(checkpoint: Checkpoint, offset: int, kind: Kind) -> Difference:
    return Difference(checkpoint.partition, offset, offset, kind, checkpoint.number)


def _elsewhere(before: bytes, entry: Entry, here: Record, records: Sequence[Record]) -> bool:
    """Whether the record that belongs here is among the others, with the time of here or its own."""
    moved = (record._replace(offset=entry.offset, log_time=time) for record in records for time in {record.log_time, here.log_time})
    return any(link_of(before, record) == entry.link for record in moved)
