"""Verifying: the records of a log, chained anew, against the checkpoints that were signed of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from eventresults.audit.chain import Entry
from eventresults.audit.checkpoint import Checkpoint
from eventresults.audit.interval import Difference, compare, partly
from eventresults.audit.ledger import Ledger
from eventresults.audit.report import PartitionReport, Report
from eventresults.audit.source import Source
from eventresults.audit.succession import Chain
from eventresults.errors import LedgerCorrupt
from eventresults.log.base import Record

#: Called with (records done, records in all) now and then.
Progress = Callable[[int, int], None]


def verify(
    source: Source,
    chains: Mapping[int, Chain],
    *,
    ledger: Ledger | None = None,
    time: str,
    progress: Progress = lambda _done, _total: None,
) -> Report:
    """Chain the records of every partition anew and compare. With a `ledger` that has the links, exactly where it differs can be told.

    Raises `LedgerCorrupt` when a trusted key has signed what never was, beside what was.
    """
    total = sum(source.ends[p] - source.starts[p] for p in source.ends)
    done = 0
    partitions = []
    for partition in sorted({*source.starts, *chains}):

        def tell(count: int, before: int = done) -> None:
            progress(before + count, total)

        chain = chains.get(partition, Chain([], []))
        report = _Pass(source, partition, chain, ledger, tell).run()
        if report.ok:
            _check_beside(source, chain)
        done += report.end - report.start
        partitions.append(report)
    keys = sorted({one.key for chain in chains.values() for one in chain.signed})
    logs = {one.checkpoint.log for chain in chains.values() for one in chain.signed}
    log_id = source.log_id or next(iter(logs), None)
    return Report(log=log_id, url=source.url, time=time, keys=keys, partitions=partitions)


def _check_beside(source: Source, chain: Chain) -> None:
    """Two notaries that met may have signed one number twice, both truly. Raises `LedgerCorrupt` when one of them did not."""
    for signed in chain.beside:
        one = signed.checkpoint
        if one.first < source.starts[one.partition]:
            continue
        records = [
            record for batch in source.batches(one.partition, one.first, min(one.next, source.ends[one.partition])) for record in batch
        ]
        if compare(one, chain.head_before(one.number), records, lambda _: None, end=one.next) is not None:
            rival = chain.signed[one.number].place
            raise LedgerCorrupt(
                f"Two different checkpoints of partition {one.partition} have the number {one.number}, at {rival} and at {signed.place}, "
                "and the second is not what the log says: the notary's key signs for somebody else, too. Withdraw it; find out since when.",
                place=signed.place,
                reason="forked",
            )


class _Pass:
    """One partition, read once from its start to its end."""

    def __init__(self, source: Source, partition: int, chain: Chain, ledger: Ledger | None, tell: Callable[[int], None]) -> None:
        self._source = source
        self._partition = partition
        self._whole = chain
        self._chain = [one.checkpoint for one in chain.signed]
        self._ledger = ledger
        self._tell = tell
        self._start = source.starts.get(partition, 0)
        self._end = source.ends.get(partition, 0)
        self._verified = 0
        self._unsigned = 0
        self._gone = 0
        self._number = 0
        self._records: list[Record] = []

    def run(self) -> PartitionReport:
        self._skip()
        difference = None
        for batch in self._source.batches(self._partition, self._start, self._end):
            difference = self._take(batch)
            self._tell(batch[-1].offset + 1 - self._start if batch else 0)
            if difference is not None:
                break
        if difference is None:
            difference = self._finish()
        last = self._whole.signed[-1].checkpoint if self._whole.signed else None
        return PartitionReport(
            partition=self._partition,
            checkpoints=len(self._whole.signed),
            signed=last.size if last else 0,
            verified=self._verified,
            gone=self._gone,
            unsigned=self._unsigned,
            start=self._start,
            end=self._end,
            head=last.head if last else "",
            difference=difference,
        )

    def _skip(self) -> None:
        """Pass over the checkpoints that the log no longer reaches back to."""
        while self._number < len(self._chain) and self._chain[self._number].next <= self._start:
            self._gone += self._chain[self._number].count
            self._number += 1

    def _take(self, batch: Sequence[Record]) -> Difference | None:
        begin = 0
        while begin < len(batch):
            if self._number == len(self._chain):
                self._unsigned += len(batch) - begin
                return None
            covered = self._chain[self._number].next
            end = _first_from(batch, covered, begin)
            self._records += batch[begin:end] if begin or end < len(batch) else batch
            if end < len(batch) and (difference := self._close()) is not None:
                return difference
            begin = end
        return None

    def _finish(self) -> Difference | None:
        if not self._source.final:
            self._gone += sum(one.count for one in self._chain if one.next > self._end)
            self._chain = [one for one in self._chain if one.next <= self._end]
        while self._number < len(self._chain):
            if (difference := self._close()) is not None:
                return difference
        return None

    def _close(self) -> Difference | None:
        """All records of the next checkpoint are here."""
        checkpoint, records = self._chain[self._number], self._records
        before = self._whole.head_before(self._number)
        if checkpoint.first < self._start:
            entries = self._entries(checkpoint)
            difference = None if entries is None else partly(checkpoint, before, records, entries, start=self._start, end=self._end)
            checked = 0 if entries is None else len(records)
            self._verified += checked
            self._gone += checkpoint.count - checked
        else:
            difference = compare(checkpoint, before, records, self._entries, end=self._end)
            self._verified += len(records)
        self._number += 1
        self._records = []
        return difference

    def _entries(self, checkpoint: Checkpoint) -> Sequence[Entry] | None:
        return self._ledger.entries(checkpoint) if self._ledger else None


def _first_from(batch: Sequence[Record], offset: int, low: int) -> int:
    """The index of the first record at or after this offset."""
    high = len(batch)
    while low < high:
        middle = (low + high) // 2
        if batch[middle].offset < offset:
            low = middle + 1
        else:
            high = middle
    return low
