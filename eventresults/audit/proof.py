"""A proof of one record: the record itself, the path from its link to the root of a checkpoint, and that checkpoint, signed.

A JSON object that needs nothing else but the public key of whoever is trusted to have seen the log.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from eventresults.audit import merkle
from eventresults.audit.chain import Entry, chained, link_of
from eventresults.audit.checkpoint import Checkpoint, Signed, from_json
from eventresults.audit.interval import compare
from eventresults.audit.ledger import Ledger
from eventresults.audit.signing import PublicKey
from eventresults.audit.source import Source
from eventresults.audit.succession import Chain
from eventresults.codec.events import decode_event
from eventresults.domain.position import Position
from eventresults.errors import AuditError, ChainBroken, EventCorrupt, LedgerCorrupt, ProofInvalid
from eventresults.log.base import Record

VERSION: Final = 1


@dataclass(frozen=True, kw_only=True)
class Proof:
    """That `record` stood in `partition`, as the `index`-th record of the stretch that `signed` covers.

    `before` is the link before it, `path` leads from its own to the root.
    """

    partition: int
    record: Record
    before: bytes
    index: int
    path: list[bytes]
    signed: Signed

    @property
    def position(self) -> Position:
        """Where it stood."""
        return Position(self.partition, self.record.offset)

    def check(self, keys: Mapping[str, PublicKey]) -> None:
        """Raise `ProofInvalid` unless a trusted key vouches for exactly this record at exactly this place."""
        try:
            self.signed.check(keys)
        except LedgerCorrupt as error:
            raise _invalid(error.facts["reason"]) from None
        one = self.signed.checkpoint
        if self.partition != one.partition or not one.first <= self.record.offset < one.next:
            raise _invalid(f"its checkpoint is not of {self.position}")
        found = merkle.climb(link_of(self.before, self.record), self.index, one.count, self.path)
        if found is None or found.hex() != one.root:
            raise _invalid("the record, its place or its path is not what was signed")

    def as_json(self) -> dict[str, Any]:
        """It as plain data."""
        return {
            "v": VERSION,
            "kind": "eventresults-proof",
            "partition": self.partition,
            "offset": self.record.offset,
            "log_time": self.record.log_time,
            "key": _text(self.record.key),
            "value": _text(self.record.value),
            "before": self.before.hex(),
            "index": self.index,
            "path": [one.hex() for one in self.path],
            "signed": json.loads(self.signed.line),
        }

    @classmethod
    def from_json(cls, whole: Any, place: str) -> Proof:
        """The proof in a JSON value. Raises `ProofInvalid` when it is none."""
        try:
            if whole["v"] != VERSION or whole["kind"] != "eventresults-proof":
                raise _invalid("it is no proof that this version of the library knows")
            numbers = [whole[name] for name in ("offset", "log_time", "partition", "index")]
            if not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
                raise _invalid("its numbers cannot be")
            return cls(
                partition=whole["partition"],
                record=Record(whole["offset"], whole["log_time"], _bytes(whole["key"]), _bytes(whole["value"])),
                before=bytes.fromhex(whole["before"]),
                index=whole["index"],
                path=[bytes.fromhex(one) for one in whole["path"]],
                signed=from_json(whole["signed"], place),
            )
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise _invalid("it is no proof, or a part of one") from None
        except LedgerCorrupt as error:
            raise _invalid(error.facts["reason"]) from None


def find(source: Source, event_id: str) -> Position | None:
    """Where the first record of this event lies; reads the log until it is met. None when it is not there."""
    wanted = event_id.encode()
    for partition in sorted(source.starts):
        for batch in source.batches(partition, source.starts[partition], source.ends[partition]):
            for record in batch:
                if record.value is not None and wanted in record.value and _id_of(partition, record) == event_id:
                    return Position(partition, record.offset)
    return None


def prove(source: Source, chains: Mapping[int, Chain], position: Position, *, ledger: Ledger | None = None) -> Proof:
    """A proof of the record at this position, from its stretch of the log; checkpoints are trusted to be checked.

    Raises `AuditError` when no checkpoint covers it, `ChainBroken` when the stretch is not what was signed.
    """
    chain = chains.get(position.partition)
    number = next((n for n, one in enumerate(chain.signed if chain else ()) if one.checkpoint.next > position.offset), None)
    if chain is None or number is None:
        raise AuditError(
            f"The record at {position} is not signed yet: a running `eventresults audit notary` will, and `--once` signs at once."
        )
    signed = chain.signed[number]
    checkpoint = signed.checkpoint
    before = chain.head_before(number)
    begin = max(checkpoint.first, source.starts[position.partition])
    records = [one for batch in source.batches(position.partition, begin, checkpoint.next) for one in batch]
    entries = ledger.entries(checkpoint) if ledger else None
    if entries is None:
        entries = _entries(source, checkpoint, before, records)
    record = next((one for one in records if one.offset == position.offset), None)
    index = next((n for n, entry in enumerate(entries) if entry.offset == position.offset), None)
    links = [before, *(entry.link for entry in entries)]
    if record is None or index is None or link_of(links[index], record) != links[index + 1]:
        raise _broken(source, position, "the record there is not the one that was signed")
    path = merkle.path(links[1:], index)
    return Proof(partition=position.partition, record=record, before=links[index], index=index, path=path, signed=signed)


def _entries(source: Source, checkpoint: Checkpoint, before: bytes, records: list[Record]) -> list[Entry]:
    difference = compare(checkpoint, before, records, lambda _: None, end=source.ends[checkpoint.partition])
    if difference is not None:
        raise _broken(source, Position(checkpoint.partition, difference.offset), str(difference))
    return chained(before, records)


def _broken(source: Source, at: Position, why: str) -> ChainBroken:
    return ChainBroken(
        f"{source.url} cannot prove it: {why}. `eventresults audit verify` tells where it differs.",
        partition=at.partition,
        offset=at.offset,
        reason="differs",
    )


def _invalid(reason: str) -> ProofInvalid:
    return ProofInvalid(f"The proof does not hold: {reason}. Ask for another one, made by `eventresults audit prove`.", reason=reason)


def _id_of(partition: int, record: Record) -> str | None:
    try:
        return decode_event(record.value, key=record.key, position=Position(partition, record.offset)).event_id
    except EventCorrupt:
        return None


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)
