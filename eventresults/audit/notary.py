"""The notary: follows a log, chains its records, and signs a checkpoint of every stretch of it.

It goes on from its last checkpoint, and only after it has seen that the log still is what it signed there. Each checkpoint is
published first, where that was asked for, and then kept in the ledger: what a kill left between the two is found at the next start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Final, Protocol, Self

from eventresults.audit import merkle
from eventresults.audit.chain import genesis
from eventresults.audit.checkpoint import NOTHING, Checkpoint, Signed, sign
from eventresults.audit.ledger import OpenLedger
from eventresults.audit.resume import resume
from eventresults.audit.signing import PublicKey, Signer
from eventresults.audit.succession import Chain, trusted
from eventresults.audit.tail import Tail
from eventresults.errors import ChainBroken, NotaryConflict, ViewStale
from eventresults.log.base import EventReader, Log

logger = logging.getLogger(__name__)

#: Records in a checkpoint, and seconds that a record waits for one, at most.
EVERY: Final = 1_000
INTERVAL: Final = 10.0


class Published(Protocol):
    """Where checkpoints are made known, out of reach of whoever can write the log and the ledger."""

    def checkpoints(self, log_id: str) -> Iterable[Signed]:
        """All that were published of this log, oldest first."""

    def publish(self, signed: Signed) -> None:
        """Make it known; returns once it is for good. Raises `NotaryConflict` when another of its number came before."""


class Notary:
    """Signs what a log holds. One thread; a context manager: `open()`, then `step()` again and again, then `finish()`.

    A checkpoint is due after `every` records of a partition, or once one of them has waited `interval` seconds. `trusted` are keys that
    signed before this one did. `clock` is the time written into checkpoints, `elapsed` (seconds) measures the interval.
    """

    def __init__(
        self,
        log: Log,
        ledger: OpenLedger,
        signer: Signer,
        *,
        published: Published | None = None,
        trusted: Mapping[str, PublicKey] | None = None,
        every: int = EVERY,
        interval: float = INTERVAL,
        timeout: float = 10.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        elapsed: Callable[[], float] = monotonic,
    ) -> None:
        self._log = log
        self._ledger = ledger
        self._signer = signer
        self._published = published
        self._keys = {**(trusted or {}), signer.public.id: signer.public}
        self._every = every
        self._interval = interval
        self._timeout = timeout
        self._clock = clock
        self._elapsed = elapsed
        self._log_id = ""
        self._tails: dict[int, Tail] = {}
        self._reader: EventReader | None = None

    def open(self) -> Mapping[int, int]:
        """Take up the work: partition -> the offset it goes on from.

        Raises `LedgerCorrupt` for checkpoints that no trusted key signed or that do not follow one another, `ChainBroken` when the log is
        not what they say, and what asking and reading the log does.
        """
        info = self._log.info(self._timeout)
        self._log_id = info.log_id
        chains = self._chains()
        for partition, start in info.starts.items():
            chain = chains.pop(partition, None)
            tail = Tail(partition, at=start, head=genesis(info.log_id, partition))
            if chain:
                end = info.ends[partition]
                tail = resume(self._log, chain, self._ledger, start=start, end=end, timeout=self._timeout)
            self._tails[partition] = tail
        for partition, chain in chains.items():
            raise ChainBroken(
                f"{self._log.url} has no partition {partition}, of which {chain.signed[-1].checkpoint.size:,} records are signed.",
                partition=partition,
                offset=chain.signed[0].checkpoint.first,
                reason="missing-partition",
            )
        positions = {partition: tail.at for partition, tail in self._tails.items()}
        self._reader = self._log.reader(positions)
        return positions

    def step(self, timeout: float) -> list[Checkpoint]:
        """Wait at most `timeout` seconds for records, take them in, and sign what is due; the new checkpoints.

        Raises `ChainBroken` when the log lost or changed its signed tail, `NotaryConflict` when another notary signs it. After a `LogError`
        it may be called again.
        """
        assert self._reader is not None, "open() comes first"
        made = [self._sign(tail) for tail in self._tails.values() if tail.pending]
        try:
            polls = self._reader.poll(timeout)
        except ViewStale as stale:
            raise self._lost(stale) from stale
        now = self._elapsed()
        for partition, poll in polls.items():
            self._tails[partition].take(poll.records, poll.next_offset, now)
        for tail in self._tails.values():
            while len(tail.entries) >= self._every:
                made.append(self._sign(tail))
            if tail.entries and now - tail.since >= self._interval:
                made.append(self._sign(tail))
        return made

    def catch_up(self, ends: Mapping[int, int], timeout: float = 0.5) -> Iterable[Checkpoint]:
        """Step until these ends are reached; the checkpoints as they are made."""
        while any(self._tails[partition].at < end for partition, end in ends.items()):
            yield from self.step(timeout)

    def finish(self) -> list[Checkpoint]:
        """Sign what no checkpoint covers yet."""
        made = []
        for tail in self._tails.values():
            while tail.entries:
                made.append(self._sign(tail))
        return made

    @property
    def reached(self) -> Mapping[int, int]:
        """Partition -> the next offset to read."""
        return {partition: tail.at for partition, tail in self._tails.items()}

    @property
    def ends(self) -> Mapping[int, int]:
        """The log's ends now."""
        return self._log.ends(sorted(self._tails), self._timeout)

    def close(self) -> None:
        """Stop reading; nothing more is signed. Idempotent."""
        if self._reader is not None:
            self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _chains(self) -> dict[int, Chain]:
        """The checkpoints of each partition. One that was published and never kept is kept now, without links; and the other way round."""
        kept = self._ledger.checkpoints()
        published = [] if self._published is None else list(self._published.checkpoints(self._log_id))
        in_ledger, elsewhere = ({signed.checkpoint.digest for signed in place} for place in (kept, published))
        chains = trusted([*published, *kept], self._keys, log_id=self._log_id, url=self._log.url)
        for chain in chains.values():
            self._heed(chain, in_ledger)
            for signed in chain.signed:
                if signed.checkpoint.digest not in in_ledger:
                    self._ledger.append(signed, ())
                if self._published is not None and signed.checkpoint.digest not in elsewhere:
                    self._published.publish(signed)
        return chains

    @staticmethod
    def _heed(chain: Chain, in_ledger: Collection[str]) -> None:
        """A number that was signed twice: the one in the ledger must be the one that counts."""
        for signed in chain.beside:
            rival = chain.signed[signed.checkpoint.number].place
            if signed.checkpoint.digest in in_ledger:
                raise NotaryConflict(
                    f"The checkpoint at {signed.place} is not the one that was published first, at {rival}: another notary signs this log. "
                    "Stop one of them, and begin with a new ledger here.",
                    place=rival,
                )
            logger.warning("another notary signed checkpoint %d as well, at %s: stop it", signed.checkpoint.number, signed.place)

    def _sign(self, tail: Tail) -> Checkpoint:
        """Sign the next stretch, `every` records at most. Should it fail on the way, the same checkpoint is tried again, and no other."""
        tail.check_anchor(self._log, self._timeout)
        signed = tail.pending = tail.pending or sign(self._next(tail), self._signer, str(self._ledger.folder))
        checkpoint = signed.checkpoint
        if self._published is not None:
            self._published.publish(signed)
        self._ledger.append(signed, tail.entries[: checkpoint.count])
        tail.signed(checkpoint, self._elapsed())
        logger.info("signed %d:%d-%d, checkpoint %d", tail.partition, checkpoint.first, checkpoint.last, checkpoint.number)
        return checkpoint

    def _next(self, tail: Tail) -> Checkpoint:
        entries = tail.entries[: self._every]
        links = [entry.link for entry in entries]
        before = tail.last
        return Checkpoint(
            log=self._log_id,
            partition=tail.partition,
            number=0 if before is None else before.number + 1,
            first=entries[0].offset,
            next=entries[-1].offset + 1,
            count=len(links),
            size=len(links) + (0 if before is None else before.size),
            head=links[-1].hex(),
            root=merkle.root(links).hex(),
            previous=NOTHING if before is None else before.digest,
            time=self._clock().isoformat(),
        )

    def _lost(self, stale: ViewStale) -> ChainBroken:
        partition, at = stale.facts["partition"], stale.facts["position"]
        return ChainBroken(
            f"{self._log.url} no longer holds what the notary has read up to {partition}:{at} ({stale.facts['reason']}): it lost records, "
            "or is another log now. Nothing more was signed; `eventresults audit verify` tells where it differs from what was.",
            partition=partition,
            offset=stale.facts.get("end") or at,
            reason=str(stale.facts["reason"]),
        )
