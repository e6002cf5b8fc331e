"""A checkpoint: what a notary signs of one stretch of one partition, and how it is written.

One line of JSON, `{"checkpoint": {…}, "key": id, "signature": base64}`. What is signed is the object `checkpoint` in its one canonical
form: keys sorted, no spaces, ASCII.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import Any, Final, NamedTuple

from eventresults.audit.signing import PublicKey, Signer
from eventresults.errors import LedgerCorrupt

WHAT: Final = "checkpoint"
_HASH: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One signed stretch. Hashes are 64 hex digits.

    It covers the `count` records with `first` <= offset < `next` of this partition of the log `log` (its id); with them `size` records are
    signed in all. `head` is the link of the last one, `root` the Merkle root over their links. `number` counts checkpoints of the
    partition from 0, and `previous` is the digest of the one before (64 zeros: none). `time` is the notary's clock, ISO 8601.
    """

    log: str
    partition: int
    number: int
    first: int
    next: int
    count: int
    size: int
    head: str
    root: str
    previous: str
    time: str
    v: int = 1

    @property
    def canonical(self) -> bytes:
        """What is signed."""
        return canonical(asdict(self))

    @property
    def digest(self) -> str:
        """Its SHA-256, which the next checkpoint names."""
        return sha256(self.canonical).hexdigest()

    @property
    def last(self) -> int:
        """The last offset that it may cover."""
        return self.next - 1


class Signed(NamedTuple):
    """A checkpoint with its signature, and where it was found."""

    checkpoint: Checkpoint
    key: str
    signature: str
    place: str

    @property
    def line(self) -> bytes:
        """As it is written, without a line's end."""
        return canonical({"checkpoint": asdict(self.checkpoint), "key": self.key, "signature": self.signature})

    def check(self, keys: Mapping[str, PublicKey]) -> None:
        """Raise `LedgerCorrupt` unless one of these keys has signed it."""
        key = keys.get(self.key)
        if key is None:
            trusted = ", ".join(sorted(keys)) or "none"
            raise corrupt(self.place, f"it is signed by the key {self.key}, and trusted are: {trusted}")
        if not key.signed(WHAT, self.checkpoint.canonical, self.signature):
            raise corrupt(self.place, "its signature does not hold: it was altered after it was signed")


NOTHING: Final = "0" * _HASH


def sign(checkpoint: Checkpoint, signer: Signer, place: str) -> Signed:
    """Sign it."""
    return Signed(checkpoint, signer.public.id, signer.sign(WHAT, checkpoint.canonical), place)


def parse(line: bytes, place: str) -> Signed:
    """The signed checkpoint in this line, its signature unchecked. Raises `LedgerCorrupt`."""
    try:
        whole = json.loads(line)
    except (ValueError, RecursionError):
        raise corrupt(place, "it is no JSON") from None
    return from_json(whole, place)


def from_json(whole: Any, place: str) -> Signed:
    """The signed checkpoint in this JSON object. Raises `LedgerCorrupt`."""
    try:
        given = whole["checkpoint"]
        if given.keys() != _TYPES.keys() or not all(type(given[name]) is kind for name, kind in _TYPES.items()):
            raise corrupt(place, "its fields are not those of a checkpoint")
        signed = Signed(Checkpoint(**given), _text(whole["key"]), _text(whole["signature"]), place)
    except (KeyError, TypeError, AttributeError):
        raise corrupt(place, "it is no signed checkpoint") from None
    _sane(signed.checkpoint, place)
    return signed


def canonical(value: Any) -> bytes:
    """The one form of a JSON value that is signed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def corrupt(place: str, reason: str) -> LedgerCorrupt:
    """The error for a checkpoint that was found there."""
    return LedgerCorrupt(
        f"The checkpoint at {place} cannot be trusted: {reason}. Compare it with another copy of the ledger, or with what was published.",
        place=place,
        reason=reason,
    )


def _sane(one: Checkpoint, place: str) -> None:
    hashes = all(len(text) == _HASH and set(text) <= set("0123456789abcdef") for text in (one.head, one.root, one.previous))
    if one.v != 1:
        raise corrupt(place, f"it is of version {one.v}, and this library knows 1: upgrade eventresults")
    if not hashes or one.partition < 0 or one.number < 0 or one.count < 1 or not 0 <= one.first <= one.next - one.count:
        raise corrupt(place, "its numbers cannot be")


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(value)
    return value


_TYPES: Final = {field.name: int if field.type == "int" else str for field in fields(Checkpoint)}
