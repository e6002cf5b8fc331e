"""The chain of one partition: the hash of each record covers the hash of the one before it, and so all before it.

    link = SHA-256(0x00 · link before · offset · log time · length of key · length of value · key · value)

Numbers are 8 bytes, big-endian and signed; a key or value that is None has the length -1. The first link follows `genesis`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

from eventresults.log.base import Record

#: What hashes of records, of inner nodes of a Merkle tree, and of a chain's beginning start with, so that none passes for another.
RECORD, NODE, GENESIS = b"\x00", b"\x01", b"\x02"

_head = Struct(">qqqq").pack


class Entry(NamedTuple):
    """One link of the chain, and the offset of its record."""

    offset: int
    link: bytes


def genesis(log_id: str, partition: int) -> bytes:
    """What the first link of this partition of this log follows."""
    return sha256(GENESIS + f"eventresults audit 1\n{log_id}\n{partition}".encode()).digest()


def link_of(before: bytes, record: Record) -> bytes:
    """The link of this record, which comes after `before`."""
    return links(before, (record,))[0]


def chained(before: bytes, records: Sequence[Record]) -> list[Entry]:
    """The entries of these records, in order, the first of which comes after `before`."""
    return [Entry(record.offset, link) for record, link in zip(records, links(before, records), strict=True)]


def links(before: bytes, records: Iterable[Record]) -> list[bytes]:
    """The links of these records, in order, the first of which comes after `before`."""
    found = []
    link = before
    for offset, log_time, key, value in records:
        if key is None or value is None:
            lengths = (-1 if key is None else len(key), -1 if value is None else len(value))
            link = sha256(RECORD + link + _head(offset, log_time, *lengths) + (key or b"") + (value or b"")).digest()
        else:
            link = sha256(RECORD + link + _head(offset, log_time, len(key), len(value)) + key + value).digest()
        found.append(link)
    return found
