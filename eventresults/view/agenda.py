"""The agenda of a shard: rows that the sweep is to look at, each with the log time from which it may be due.

Nobody asks for one of them, and every life puts one there: so they are kept many to a row, in the order of their times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from operator import itemgetter

from eventresults.codec import plain
from eventresults.view import keys

#: A log time (ms), and the row to look at once the log has reached it.
Due = tuple[int, bytes]

_TOGETHER = 64


def written(agenda: Iterable[Due]) -> Iterator[tuple[bytes, bytes]]:
    """The rows that hold this; each is due with the first it holds. None takes the place of another one, whoever folds a poll again."""
    ordered = sorted(agenda, key=itemgetter(0))
    for start in range(0, len(ordered), _TOGETHER):
        part = ordered[start : start + _TOGETHER]
        raw = plain.pack(part)
        yield keys.expiry(part[0][0], blake2b(raw, digest_size=8).digest()), raw


def read(raw: bytes) -> list[Due]:
    """What a row holds, earliest first. Raises `ViewCorrupt`."""
    return [(at, row) for at, row in plain.unpack(raw)]
