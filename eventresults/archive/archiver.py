"""Writing an archive: from the log, from where the files end, into files that nobody else has written.

Two archivers at once race for each file's name. Whoever comes second drops its draft and goes on behind the other's file.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from time import monotonic

from eventresults.archive import manifest
from eventresults.archive.archive import Archive, Identity
from eventresults.archive.chain import chain_of
from eventresults.archive.drafts import Drafts, Limits
from eventresults.archive.files import Entry
from eventresults.archive.layout import IDENTITY, FileName
from eventresults.archive.rows import CHUNK, rows_of
from eventresults.archive.storage import Storage, storage_of, unavailable
from eventresults.errors import ArchiveGap, ArchiveMismatch, LogUnavailable, ViewStale
from eventresults.log.base import EventReader, Log, LogInfo, Poll, Record

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
#: A log that gives nothing for so many seconds before its own end has stopped answering.
SILENCE = 30.0
DAY = 86_400_000
FOR_EVER = 2**63 - 1

#: Called with (records archived so far, records to archive in all).
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Done:
    """What one run has written."""

    files: int
    rows: int
    bytes: int
    ends: Mapping[int, int]


class Archiver:
    """Archives one log into one place, which it makes an archive if it is none yet.

    `topic` names the files. `allow_gap` goes on where the log has removed records before they were archived, and leaves a note of it in the
    archive; else that raises `ArchiveGap`. Raises `ArchiveMismatch` for an archive of another log. One thread; `stop` may come from any.
    """

    def __init__(
        self,
        log: Log,
        place: str | Path | Storage,
        *,
        topic: str,
        limits: Limits | None = None,
        allow_gap: bool = False,
        timeout: float = 10.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._log = log
        self._storage: Storage = storage_of(place) if isinstance(place, (str, Path)) else place
        self._topic = topic
        self._limits = limits or Limits()
        self._allow_gap = allow_gap
        self._timeout = timeout
        self._clock = clock
        self._stopped = threading.Event()
        self._reader: EventReader | None = None
        self._written: list[Entry] = []
        self._told = False
        #: Of each partition: where the files end; the next offset to read; the offset to read up to.
        self._filed: dict[int, int] = {}
        self._at: dict[int, int] = {}
        self._until: dict[int, int] = {}

    def once(self, progress: Progress | None = None) -> Done:
        """Archive what the log holds now, and return."""
        info = self._log.info(self._timeout)
        return self._run(info, info.ends, progress)

    def follow(self) -> Done:
        """Archive what the log holds and what comes, until `stop`; what was read by then is archived, too."""
        info = self._log.info(self._timeout)
        return self._run(info, dict.fromkeys(info.ends, FOR_EVER), None)

    def stop(self) -> None:
        """End `follow`, or `once` before its time."""
        self._stopped.set()
        reader = self._reader
        if reader is not None:
            reader.wake()

    def _run(self, info: LogInfo, ends: Mapping[int, int], progress: Progress | None) -> Done:
        try:
            return self._archive(info, ends, progress)
        except OSError as error:  # of a draft: a full disk, most likely
            raise unavailable(self._storage.url, error) from error

    def _archive(self, info: LogInfo, ends: Mapping[int, int], progress: Progress | None) -> Done:
        archive = open_for(self._storage, self._topic, info)
        self._resume(archive, ends, list(ends))
        begun = sum(self._at.values())
        with self._storage.drafts() as folder, Drafts(folder, self._topic, self._limits, self._clock) as drafts:
            tell = None if progress is None else lambda: progress(sum(self._at.values()) - begun, sum(ends.values()) - begun)
            while not self._stopped.is_set() and any(at < ends[partition] for partition, at in self._at.items()):
                again = self._read(archive, drafts, ends, tell)
                self._resume(archive, ends, again)
            for partition in drafts.partitions():
                self._publish(archive, drafts, partition)
        rows, size = sum(one.rows for one in self._written), sum(one.bytes for one in self._written)
        return Done(len(self._written), rows, size, dict(self._filed))

    def _resume(self, archive: Archive, ends: Mapping[int, int], partitions: Collection[int]) -> None:
        """Go on with these partitions from where their files end."""
        if not partitions:
            return
        starts = self._log.info(self._timeout).starts
        chains = archive.chains(holes=True)
        for partition in partitions:
            chain = chains.get(partition) or chain_of(partition, starts[partition], (), ())
            while chain.end < starts[partition]:
                self._note_gap(partition, chain.end, min(starts[partition], chain.resumes or starts[partition]))
                chain = archive.chains(holes=True)[partition]
            self._filed[partition] = self._at[partition] = chain.end
            self._until[partition] = min(ends[partition], chain.resumes or FOR_EVER)

    def _read(self, archive: Archive, drafts: Drafts, ends: Mapping[int, int], tell: Callable[[], None] | None) -> Collection[int]:
        """Read on until everything wanted is archived; the partitions that are to be resumed, for their files end elsewhere now."""
        behind = {partition for partition, at in self._at.items() if at < self._until[partition]}
        again: set[int] = set()
        follows = FOR_EVER in ends.values()
        with closing(self._log.reader({partition: self._at[partition] for partition in behind})) as self._reader:
            heard = self._clock()
            while behind and not again and not self._stopped.is_set():
                try:
                    polled = self._reader.poll(min(POLL_SECONDS, drafts.patience()))
                except ViewStale as stale:
                    return self._passed_by(archive, drafts, stale)
                except LogUnavailable as error:
                    if not follows:
                        raise
                    polled = self._wait_for_log(error)
                else:
                    self._told = self._told and not polled
                heard = self._clock() if polled or follows else self._heard(heard)
                again = {partition for partition, poll in polled.items() if not self._take(archive, drafts, partition, poll)}
                reached = {partition for partition in behind if self._at[partition] >= self._until[partition]}
                again |= {p for p in {*drafts.due(), *reached} - again if not self._publish(archive, drafts, p)}
                again |= {p for p in reached if self._until[p] < ends[p]}  # behind which files follow that are there already
                behind -= reached
                if tell is not None:
                    tell()
        return again

    def _take(self, archive: Archive, drafts: Drafts, partition: int, poll: Poll) -> bool:
        """Add what a poll gave to the draft; False if somebody else has written its file."""
        until = self._until[partition]
        records = poll.records if poll.next_offset <= until else [record for record in poll.records if record.offset < until]
        for day, chunk in _by_day(records):
            if drafts.day(partition) not in {None, day} and not self._publish(archive, drafts, partition):
                return False
            if drafts.day(partition) is None:
                drafts.begin(partition, self._filed[partition], day)
            for first in range(0, len(chunk), CHUNK):
                few = chunk[first : first + CHUNK]
                drafts.add(partition, rows_of(partition, few), few[-1].offset + 1, few[0].log_time, few[-1].log_time)
        self._at[partition] = min(poll.next_offset, until)
        drafts.reach(partition, self._at[partition])
        return True

    def _publish(self, archive: Archive, drafts: Drafts, partition: int) -> bool:
        """Make the draft of this partition, if there is one, a file of the archive; False if somebody else has written it."""
        if drafts.day(partition) is None:
            return True
        entry, draft = drafts.finish(partition)
        if not self._storage.create(entry.path, draft):
            logger.info("%s is there already: another archiver is at work", entry.path)
            return False
        draft.unlink()
        entries = [entry if one.path == entry.path else one for one in archive.entries(listed=False)]
        if any(one.path != entry.path and _reaches_into(one, entry) for one in entries):  # compacted since we looked
            self._storage.delete(entry.path)
            return False
        manifest.save(self._storage, entries)
        logger.info("%s: %s events, before %s:%s", entry.path, f"{entry.rows:,}", partition, entry.end)
        self._written.append(entry)
        self._filed[partition] = entry.end
        return True

    def _passed_by(self, archive: Archive, drafts: Drafts, stale: ViewStale) -> Collection[int]:
        """Retention passed what was to be read next: keep what was read, and let `_resume` judge."""
        partition = stale.facts["partition"]
        if self._log.info(self._timeout).starts[partition] <= self._at[partition]:
            raise stale
        self._publish(archive, drafts, partition)
        return [partition]

    def _wait_for_log(self, error: LogUnavailable) -> Mapping[int, Poll]:
        """Nothing came, for the log is away: tell of it once, and wait a little."""
        if not self._told:
            logger.warning("The log cannot be read, trying on: %s", error)
        self._told = True
        self._stopped.wait(POLL_SECONDS)
        return {}

    def _note_gap(self, partition: int, start: int, end: int) -> None:
        """Records are gone for good: raise `ArchiveGap`, or leave a note in the archive."""
        if not self._allow_gap:
            raise ArchiveGap(
                f"Of partition {partition} the offsets {start} to {end - 1} left the log before they were archived. `--allow-gap` goes on "
                "behind them, and leaves a note of it in the archive.",
                partition=partition,
                start=start,
                end=end,
            )
        logger.warning("Partition %s: the offsets %s to %s left the log before they were archived", partition, start, end - 1)
        with self._storage.drafts() as folder:
            note = folder / "gap.json"
            note.write_text(json.dumps({"partition": partition, "start": start, "end": end, "reason": "the log no longer held them"}))
            self._storage.create(FileName(self._topic, partition, start).gap, note)

    def _heard(self, last: float) -> float:
        if self._clock() - last > SILENCE:
            raise LogUnavailable(
                f"{self._log.url} gave no record for {SILENCE:g} s before its end: is it reachable?", url=self._log.url, reason="silence"
            )
        return last


def _by_day(records: Sequence[Record]) -> Iterator[tuple[int, Sequence[Record]]]:
    """The records of each day (since the epoch), in order."""
    if records and records[0].log_time // DAY == records[-1].log_time // DAY:  # log time never falls
        yield records[0].log_time // DAY, records
        return
    for day, group in groupby(records, key=lambda record: record.log_time // DAY):
        yield day, list(group)


def open_for(storage: Storage, topic: str, info: LogInfo) -> Archive:
    """The archive of this very log, which is begun where there is none. Raises `ArchiveMismatch` when it is of another."""
    if storage.read(IDENTITY) is None:
        with storage.drafts() as folder:
            (folder / IDENTITY).write_bytes(Identity(topic, info.log_id, info.starts).dump())
            storage.create(IDENTITY, folder / IDENTITY)
    archive = Archive(storage)
    have = archive.identity
    if (have.topic, have.log_id) != (topic, info.log_id):
        other = "another log of that name" if have.topic == topic else f"{have.topic!r}"
        raise ArchiveMismatch(
            f"{storage.url} is an archive of {other}, and this log is {topic!r}: give each log an archive of its own.",
            archive=storage.url,
            have=f"{have.topic} ({have.log_id})",
            want=f"{topic} ({info.log_id})",
        )
    return archive


def _reaches_into(one: Entry, other: Entry) -> bool:
    return one.partition == other.partition and one.start < other.end and one.end > other.start
