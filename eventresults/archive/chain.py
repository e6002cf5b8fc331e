"""What an archive holds of one partition: files, each of which begins where the one before it ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from eventresults.archive.files import Entry
from eventresults.errors import ArchiveCorrupt


class Gap(NamedTuple):
    """Records that are gone for good: start <= offset < end."""

    partition: int
    start: int
    end: int


class Chain(NamedTuple):
    """The files of one partition in order, without those that a compaction has made superfluous.

    `end` is the first offset that is not there after `start`. When files follow behind it, one is missing between: `resumes` is where
    the next of them begins.
    """

    partition: int
    start: int
    end: int
    files: tuple[Entry, ...]
    gaps: tuple[Gap, ...]
    superfluous: tuple[Entry, ...]
    resumes: int | None


def chain_of(partition: int, start: int, entries: Iterable[Entry], gaps: Iterable[Gap]) -> Chain:
    """Link these files and gaps of one partition, from offset `start` on.

    Raises `ArchiveCorrupt` when two overlap without one containing the other.
    """
    at = start
    files: list[Entry] = []
    missing: list[Gap] = []
    superfluous: list[Entry] = []
    every: list[Entry | Gap] = [*entries, *gaps]
    # Of those that begin together, the one that reaches furthest comes first.
    links = sorted(every, key=lambda one: (one.start, -one.end, isinstance(one, Gap)))
    for link in links:
        if link.start > at:
            return Chain(partition, start, at, tuple(files), tuple(missing), tuple(superfluous), link.start)
        if link.start < at:
            if link.end > at:
                raise ArchiveCorrupt(
                    f"Partition {partition} is there twice between the offsets {link.start} and {at}: find out who wrote {_name(link)}.",
                    path=_name(link),
                    reason="overlap",
                )
            if isinstance(link, Entry):
                superfluous.append(link)
            continue
        if isinstance(link, Entry):
            files.append(link)
        else:
            missing.append(link)
        at = link.end
    return Chain(partition, start, at, tuple(files), tuple(missing), tuple(superfluous), None)


def _name(link: Entry | Gap) -> str:
    return link.path if isinstance(link, Entry) else f"the gap {link.start}-{link.end}"
