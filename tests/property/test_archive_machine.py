"""Whatever happens to whoever writes it, and in whatever order, an archive holds every record of its log once."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from eventresults.archive.archive import Archive
from eventresults.archive.archiver import Archiver
from eventresults.archive.compact import LOCK, compact, repair
from eventresults.archive.drafts import Limits
from eventresults.archive.storage import LocalFolder
from eventresults.archive.verify import check_files
from eventresults.errors import ArchiveUnavailable
from tests.support.archives import Clock, append, archive_records, archived, log_records, memory_log
from tests.support.events import sent, started, succeeded

HOURS = 3_600_000


class Crash(Exception):
    """The end of a process, in the middle of its work."""


class Mortal(LocalFolder):
    """A folder whose process ends before, or right after, its n-th change of it."""

    def __init__(self, folder: Path, lives: int, *, after: bool) -> None:
        super().__init__(folder)
        self._lives = lives
        self._after = after

    def create(self, path: str, source: Path) -> bool:
        return self._change(lambda: super(Mortal, self).create(path, source))

    def replace(self, path: str, content: bytes) -> None:
        self._change(lambda: super(Mortal, self).replace(path, content))

    def delete(self, path: str) -> None:
        self._change(lambda: super(Mortal, self).delete(path))

    def _change(self, act):
        self._lives -= 1
        if self._lives == 0 and not self._after:
            raise Crash
        done = act()
        if self._lives == 0:
            raise Crash
        return done


class ArchiveMachine(RuleBasedStateMachine):
    """Appends, archivers that end well or badly, compactions that do, and lost manifests."""

    @initialize(partitions=st.integers(1, 3))
    def begin(self, partitions: int) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="archive-machine-")
        self.place = Path(self.folder.name) / "archive"
        self.clock = Clock()
        self.log = memory_log(partitions, self.clock)
        self.tasks = 0

    @rule(count=st.integers(1, 12), hours=st.sampled_from([0, 0, 1, 20]))
    def append(self, count: int, hours: int) -> None:
        self.clock.now += hours * HOURS
        append(self.log, [make(task_id=f"t{self.tasks + one}") for one in range(count) for make in (sent, started, succeeded)])
        self.tasks += count

    @rule(partition=st.integers(0, 2))
    def leave_a_hole(self, partition: int) -> None:
        if partition in self.log.info(1).ends:
            self.log.leave_hole(partition, 1)

    @rule()
    def archive(self) -> None:
        archived(self.log, self.place)

    @rule(lives=st.integers(1, 6), after=st.booleans())
    def archive_and_crash(self, lives: int, after: bool) -> None:
        with suppress(Crash):
            Archiver(self.log, Mortal(self.place, lives, after=after), topic="task-events", limits=Limits(rows=1)).once()

    @rule(rows=st.sampled_from([2, 10, 1_000]))
    def compact(self, rows: int) -> None:
        self._compact(LocalFolder(self.place), rows)

    @rule(lives=st.integers(2, 9), after=st.booleans())
    def compact_small_files_and_crash(self, lives: int, after: bool) -> None:
        for _ in range(3):
            self.append(1, 0)
            self.archive()
        with suppress(Crash):
            self._compact(Mortal(self.place, lives, after=after), 1_000)
        (self.place / LOCK).unlink(missing_ok=True)

    @rule()
    def lose_the_manifest(self) -> None:
        (self.place / "manifest.json").unlink(missing_ok=True)

    @rule()
    def repair(self) -> None:
        if (self.place / "archive.json").exists():
            repair(Archive(self.place))

    @invariant()
    def what_is_there_is_there_once(self) -> None:
        if not hasattr(self, "place") or not (self.place / "archive.json").exists():
            return
        truth = log_records(self.log)
        for partition, records in archive_records(Archive(self.place)).items():
            assert list(records) == truth[partition][: len(records)]

    def teardown(self) -> None:
        if hasattr(self, "place"):
            archived(self.log, self.place)
            assert archive_records(Archive(self.place)) == {p: records for p, records in log_records(self.log).items() if records}
            check_files(Archive(self.place))
            self.folder.cleanup()

    def _compact(self, storage: LocalFolder, rows: int) -> None:
        if (self.place / "archive.json").exists():
            with suppress(ArchiveUnavailable):
                compact(Archive(storage), rows=rows)


ArchiveMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
TestArchive = ArchiveMachine.TestCase
