"""What a notary has in hand of one partition: the links since the last checkpoint, and the record that it ended with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from eventresults.audit.chain import Entry, chained, link_of
from eventresults.audit.checkpoint import Checkpoint, Signed
from eventresults.domain.position import Position
from eventresults.errors import ChainBroken
from eventresults.log.base import Log, Record


class Anchor(NamedTuple):
    """The last signed record: its offset, and the links before it and of itself."""

    offset: int
    before: bytes
    link: bytes


class Tail:
    """The unsigned tail of one partition. `at` is the next offset to read, `head` the link that `entries` come after."""

    def __init__(self, partition: int, *, at: int, head: bytes, last: Checkpoint | None = None, anchor: Anchor | None = None) -> None:
        self.partition = partition
        self.at = at
        self.head = head
        self.last = last
        self.entries: list[Entry] = []
        #: When the first of them came.
        self.since = 0.0
        #: A checkpoint that was signed, and may be published already: no other may take its number.
        self.pending: Signed | None = None
        self._anchor = anchor

    def take(self, records: Sequence[Record], at: int, now: float) -> None:
        """Chain these records, which come next; `at` is what to read after them."""
        if records and not self.entries:
            self.since = now
        self.entries += chained(self.entries[-1].link if self.entries else self.head, records)
        self.at = at

    def signed(self, checkpoint: Checkpoint, now: float) -> None:
        """The first entries are covered by this checkpoint now."""
        self._anchor = anchor_of(self.head, self.entries[: checkpoint.count])
        self.head = self.entries[checkpoint.count - 1].link
        del self.entries[: checkpoint.count]
        self.last, self.pending, self.since = checkpoint, None, now

    def check_anchor(self, log: Log, timeout: float) -> None:
        """Raise `ChainBroken` when the log holds another record now where the last signed one was; it may be gone by retention."""
        anchor = self._anchor
        if anchor is None:
            return
        record = log.read(Position(self.partition, anchor.offset), timeout)
        if record is not None and link_of(anchor.before, record) != anchor.link:
            raise ChainBroken(
                f"{log.url} holds another record at {self.partition}:{anchor.offset} than the one that was signed: it was altered, or the "
                "log lost its tail and grew anew. Nothing more was signed; `eventresults audit verify` tells where it differs.",
                partition=self.partition,
                offset=anchor.offset,
                reason="altered",
            )


def anchor_of(head: bytes, entries: Sequence[Entry]) -> Anchor | None:
    """The last of these entries, the first of which comes after `head`; None when there is none."""
    return Anchor(entries[-1].offset, entries[-2].link if len(entries) > 1 else head, entries[-1].link) if entries else None
