"""The agenda of a shard: rows that the sweep is to look at, each with the log time from which it may be due.

Nobody asks for one of them, and every life puts one there: so they are kept many to a row, in the order of their times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import itemgetter

from eventresults.codec import plain
from eventresults.view import keys

#: A log time (ms), and the row to look at once the log has reached it.
Due = tuple[int, bytes]

_TOGETHER = 64


def written(agenda: Iterable[Due], offset: int) -> Iterator[tuple[bytes, bytes]]:
    """The rows that hold this, of the poll that ended before `offset`; each is due with the first it holds."""
    ordered = sorted(agenda, key=itemgetter(0))
    for start in range(0, len(ordered), _TOGETHER):
        part = ordered[start : start + _TOGETHER]
        yield keys.expiry(part[0][0], offset, start), plain.pack(part)


def read(raw: bytes) -> list[Due]:
    """What a row holds, earliest first. Raises `ViewCorrupt`."""
    return [(at, row) for at, row in plain.unpack(raw)]
