"""A view's folder: numbered builds of the view, the name of the one in use, and the lock that makes one process its owner.

    <view>/losses               how often the log was found to be another than the one folded; not there: never
    <view>/current              the number of the generation in use: moved by rename, only upwards, only by who holds that generation
    <view>/<n>/LOCK             held by the owner of generation n; its text is the owner's process id
    <view>/<n>/<partition>/     one shard
    <view>/checkpoints/<random> copies of one moment, and what is to be a generation, each held by the process that made it
    <view>/checkpoints/BUILDING held by the one process that fills what is to be a generation

To rebuild is to fill a folder, lock `<n+1>`, move it there, and move `current`; whoever still holds `<n>` sees it. `<n+1>` is locked for
moments only: it is the place of whoever succeeds an owner that falls silent.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from eventresults.errors import Closed, ViewCorrupt, ViewError, ViewLocked
from eventresults.filelock import Busy, FileLock
from eventresults.view.beat import Beat, sign_of_life
from eventresults.view.clone import clone_shard
from eventresults.view.folders import empty, explained, fsync_folder, held_folder, remove, sweep_folders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

CHECKPOINTS: Final = "checkpoints"
BUILDING: Final = "BUILDING"


class ViewFolder:
    """The generations of one view. Every method raises `ViewError` when the disk does not let us; none waits."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = Path(path)
        self._current: Final = str(self.path / "current")
        self._read: tuple[tuple[int, int], int] | None = None

    def current(self) -> int | None:
        """The number of the generation in use; None when there is none yet. Cheap: an owner asks before every commit."""
        with explained(self.path):
            try:
                found = os.stat(self._current)  # noqa: PTH116 - a tenth of the time that reading it takes
            except FileNotFoundError:
                return None
        # The file is only ever replaced, by a rename: another number is in another file.
        file = (found.st_ino, found.st_mtime_ns)
        if self._read is None or self._read[0] != file:
            number = self._read_current()
            self._read = None if number is None else (file, number)
            return number
        return self._read[1]

    def _read_current(self) -> int | None:
        file = self.path / "current"
        with explained(self.path):
            try:
                text = file.read_text("ascii", "replace").strip()
            except FileNotFoundError:
                return None
        if not _is_number(text):
            message = f"{file} holds {text[:64]!r} instead of a number; remove the folder {self.path}: the log fills it again"
            raise ViewCorrupt(message, path=str(file), reason="not a number")
        return int(text)

    def open(self) -> Generation:
        """Own the generation in use, or an empty first one. Raises `ViewLocked` when somebody does already."""
        while True:
            current = self.current()
            generation = self._lock(current or 1, seen=current)
            if generation is None:
                continue
            if current is None:
                with generation.closed_on_error():
                    empty(generation.path)  # the leftover of a build that was never published
                    self.publish(generation)
            return generation

    def next(self) -> Generation:
        """Own an empty generation above the one in use, to be filled and published. Raises `ViewLocked` when somebody fills it already."""
        while True:
            current = self.current()
            generation = self._lock((current or 0) + 1, seen=current)
            if generation is None:
                continue
            with generation.closed_on_error():
                empty(generation.path)  # the leftover of a build that was never published
            return generation

    def succeed(self) -> Generation:
        """Own a generation above the one in use that holds what the death of its owner at this moment would leave; it is not in use yet.

        For an owner that is silent: stopped, or after all still writing. Nothing of its generation is changed. Raises `ViewLocked` when
        somebody succeeds it already, and `ViewError` (`ViewCorrupt`) when there is nothing to be had: then `next()` gives an empty one.
        """
        generation = self.next()
        with generation.closed_on_error(), explained(self.path):
            source = self.path / str(generation.number - 1)
            names = [entry.name for entry in os.scandir(source) if entry.name.isdecimal() and entry.is_dir()] if source.is_dir() else []
            if not names:
                message = f"there is no generation {generation.number - 1} in {self.path} to succeed: build one from the log"
                raise ViewError(message, path=str(self.path), number=generation.number - 1)
            with ThreadPoolExecutor(max_workers=min(8, len(names)), thread_name_prefix="eventresults-clone") as pool:
                list(pool.map(lambda name: clone_shard(source / name, generation.path / name), names))
        return generation

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A folder to be filled, and then to be `adopt`ed; removed at the end. Raises `ViewLocked` while another process fills one."""
        lock = self._lock_building()
        try:
            with held_folder(self.path / CHECKPOINTS) as path:
                yield path
        finally:
            lock.release()

    def adopt(self, draft: Path) -> Generation:
        """Own a generation above the one in use, with the shards that lie in this folder; it is not in use yet. As `next` otherwise."""
        generation = self.next()
        with generation.closed_on_error(), explained(self.path):
            for entry in list(draft.iterdir()):
                if entry.name.isdecimal():
                    entry.rename(generation.path / entry.name)
        return generation

    def sign_of_life(self, number: int) -> int | None:
        """Of who holds this generation: see `eventresults.view.beat`."""
        with explained(self.path):
            return sign_of_life(self.path / str(number) / "LOCK")

    def losses(self) -> int:
        """How often the log was found to hold something else than what had been folded."""
        with explained(self.path):
            try:
                text = (self.path / "losses").read_text("ascii", "replace").strip()
            except FileNotFoundError:
                return 0
        return int(text) if _is_number(text) else 0

    def note_losses(self, losses: int) -> None:
        """From now on it is so many."""
        with explained(self.path):
            written = self.path / "losses.new"
            written.write_text(f"{losses}\n", "ascii")
            written.replace(self.path / "losses")

    def older(self) -> list[int]:
        """The generations below the one in use that are still there: after a `sweep`, those that somebody holds."""
        current = self.current() or 0
        return [number for number in self._numbers() if number < current]

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder beside the generations, for copies of one moment: held by this process and removed at the end, by a sweep if not."""
        return held_folder(self.path / CHECKPOINTS)

    def publish(self, generation: Generation) -> None:
        """Make this the generation in use, durably. Raises `Closed` when it is not held, `ViewError` when a higher one is in use."""
        if generation.closed:
            message = f"generation {generation.number} of {self.path} was closed: only who holds it can publish it"
            raise Closed(message, what=f"generation {generation.number}")
        now = self.current() or 0
        if now > generation.number:
            message = f"generation {generation.number} of {self.path} was overtaken by {now}; open the view again"
            raise ViewError(message, path=str(self.path), number=generation.number, current=now)
        # No other process can be here with this number or a higher one: n+1 is locked only while n is in use.
        written = generation.path / "current"  # what a kill leaves of it goes with the generation
        with explained(self.path):
            with written.open("w", encoding="ascii") as file:
                file.write(f"{generation.number}\n")
                file.flush()
                os.fsync(file.fileno())
            written.replace(self.path / "current")
            fsync_folder(self.path)

    def sweep(self) -> list[int]:
        """Remove every generation that is not in use and that nobody holds, and such checkpoints; the numbers of the generations."""
        removed = []
        for number in self._numbers():
            current = self.current()
            if number == current:
                continue
            try:
                generation = self._lock(number, seen=current)
            except ViewLocked:
                continue
            if generation is None:
                continue
            try:
                remove(generation.path)
            finally:
                generation.close()
            removed.append(number)
        sweep_folders(self.path / CHECKPOINTS)
        return removed

    def _lock_building(self) -> FileLock:
        folder = self.path / CHECKPOINTS
        with explained(self.path):
            while True:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                try:
                    lock = FileLock.take(folder / BUILDING)
                except FileNotFoundError:  # the view was deleted between the two steps
                    continue
                except Busy as busy:
                    message = f"{_who(busy.pid)} is building the view {self.path} anew: wait until it has, or end it"
                    raise ViewLocked(message, path=str(self.path), pid=busy.pid) from None
                if lock is not None:
                    return lock

    def _numbers(self) -> list[int]:
        with explained(self.path):
            try:
                return sorted(int(entry.name) for entry in self.path.iterdir() if _is_number(entry.name))
            except FileNotFoundError:
                return []

    def _lock(self, number: int, *, seen: int | None) -> Generation | None:
        """Hold generation `number`; None when `current` is no longer what was seen: then it may not be the one to hold."""
        path = self.path / str(number)
        with explained(self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
            try:
                lock = FileLock.take(path / "LOCK")
            except FileNotFoundError:  # swept between the two steps
                return None
            except Busy as busy:
                if self.current() != seen:
                    return None
                raise _locked(self.path, busy.pid) from None
        if lock is None:
            return None
        if self.current() != seen:
            lock.release()
            return None
        return Generation(number, path, lock)


class Generation:
    """One build of the view, held by this process until `close()`, or its end, or its `kill -9`. A forked child does not hold it."""

    def __init__(self, number: int, path: Path, lock: FileLock) -> None:
        self.number: Final = number
        self.path: Final = path
        self._lock = lock
        #: Its sign of life, while nobody listens here.
        self.beat: Final = Beat(lock)

    def shard_path(self, partition: int) -> Path:
        """The folder of one partition's shard."""
        return self.path / str(partition)

    @property
    def closed(self) -> bool:
        """Whether this process no longer holds it."""
        return self._lock.released

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close it if the block raises: nobody would know of it otherwise."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let others own it. Idempotent."""
        if not self.closed:  # in a forked child, which may have come amid a beat, it is
            self.beat.end(elsewhere=False)
        self._lock.release()


def _locked(view: Path, pid: int | None) -> ViewLocked:
    message = f"{_who(pid)} has the view {view} open; close it there, choose another folder with view=, or let that process answer reads"
    return ViewLocked(message, path=str(view), pid=pid)


def _who(pid: int | None) -> str:
    return "this process" if pid == os.getpid() else "another process" if pid is None else f"another process (pid {pid})"


def _is_number(text: str) -> bool:
    return len(text) < 19 and text.isascii() and text.isdigit() and not text.startswith("0")
