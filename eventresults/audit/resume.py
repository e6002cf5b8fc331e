"""Going on where the last checkpoint ended, once the log is seen to be what that checkpoint says."""

from __future__ import annotations

from eventresults.audit.chain import chained
from eventresults.audit.interval import compare
from eventresults.audit.ledger import OpenLedger
from eventresults.audit.source import batches
from eventresults.audit.succession import Chain
from eventresults.audit.tail import Tail, anchor_of
from eventresults.errors import ChainBroken
from eventresults.log.base import Log, Record


def resume(log: Log, chain: Chain, ledger: OpenLedger, *, start: int, end: int, timeout: float) -> Tail:
    """The tail after this chain of checkpoints. Raises `ChainBroken` when the log differs from its last one, lost or lost some of it."""
    last = chain.signed[-1].checkpoint
    before = chain.head_before(last.number)
    if start > last.next:
        raise ChainBroken(
            f"{log.url} begins at {last.partition}:{start}, and was signed up to {last.partition}:{last.last}: retention removed records "
            "that nobody signed. Begin a new ledger (--ledger), and let the notary run more often.",
            partition=last.partition,
            offset=last.next,
            reason="retention",
        )
    entries = ledger.entries(last)
    if start > last.first:  # retention took some of it: of what is left, the last record stands for all where the ledger has its links
        tail = Tail(last.partition, at=last.next, head=bytes.fromhex(last.head), last=last, anchor=anchor_of(before, entries or ()))
        tail.check_anchor(log, timeout)
        return tail
    records: list[Record] = [one for batch in batches(log, last.partition, last.first, min(last.next, end)) for one in batch]
    difference = compare(last, before, records, lambda _: entries, end=end)
    if difference is not None:
        raise ChainBroken(
            f"{log.url} is not what was signed: {difference}. Nothing more was signed. Find out who changed it; a log that was rightly "
            "made anew needs a new ledger.",
            partition=difference.partition,
            offset=difference.offset,
            reason=difference.kind,
        )
    if entries is None:
        entries = chained(before, records)
        ledger.restore(last, entries)
    return Tail(last.partition, at=last.next, head=entries[-1].link, last=last, anchor=anchor_of(before, entries))
