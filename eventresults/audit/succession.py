"""Which checkpoints follow one another: of all that were found, those that a trusted key signed, in one chain for each partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from eventresults.audit.chain import genesis
from eventresults.audit.checkpoint import NOTHING, Checkpoint, Signed, corrupt
from eventresults.audit.signing import PublicKey
from eventresults.errors import ChainBroken


class Chain(NamedTuple):
    """The checkpoints of one partition from number 0 on, each following the one before; and those beside it, of a number that is taken."""

    signed: list[Signed]
    beside: list[Signed]

    def head_before(self, number: int) -> bytes:
        """The link that the first record of this checkpoint follows."""
        if number:
            return bytes.fromhex(self.signed[number - 1].checkpoint.head)
        first = self.signed[0].checkpoint
        return genesis(first.log, first.partition)


def trusted(found: Iterable[Signed], keys: Mapping[str, PublicKey], *, log_id: str | None, url: str) -> dict[int, Chain]:
    """The chain of each partition of this log; of two checkpoints with one number the first found counts. None: of whatever log they are.

    Raises `LedgerCorrupt` when one cannot be trusted, `ChainBroken` for one of another log than that at `url`.
    """
    by_partition: dict[int, list[Signed]] = {}
    for signed in found:
        signed.check(keys)
        one = signed.checkpoint
        if log_id is not None and one.log != log_id:
            raise ChainBroken(
                f"The checkpoint at {signed.place} is of another log ({one.log}): {url} was deleted and made again, or is not the one that "
                "was signed. A log that is new needs a new ledger.",
                partition=one.partition,
                offset=one.first,
                reason="another-log",
            )
        by_partition.setdefault(one.partition, []).append(signed)
    return {partition: consecutive(signeds) for partition, signeds in by_partition.items()}


def consecutive(found: Iterable[Signed]) -> Chain:
    """The chain of these checkpoints of one partition; of two different ones with one number the first counts, the other is beside it.

    Signatures are not looked at. Raises `LedgerCorrupt` for one that is missing or does not follow the one before.
    """
    numbered: dict[int, Signed] = {}
    beside = []
    for signed in found:
        known = numbered.setdefault(signed.checkpoint.number, signed)
        if known.checkpoint != signed.checkpoint:
            beside.append(signed)
    chain: list[Signed] = []
    for number in sorted(numbered):
        signed = numbered[number]
        if number != len(chain):
            raise corrupt(signed.place, f"checkpoint {len(chain)} of partition {signed.checkpoint.partition} is missing before it")
        _follows(chain[-1].checkpoint if chain else None, signed)
        chain.append(signed)
    return Chain(chain, beside)


def _follows(before: Checkpoint | None, signed: Signed) -> None:
    one = signed.checkpoint
    if before is None:
        wrong = one.previous != NOTHING or one.size != one.count
    else:
        same = (one.log, one.partition, one.previous) == (before.log, before.partition, before.digest)
        wrong = not same or one.first < before.next or one.size != before.size + one.count
    if wrong:
        raise corrupt(signed.place, f"number {one.number} does not follow the one before it")
