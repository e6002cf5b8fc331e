"""The facts that one process has accepted and not yet forwarded: a folder of files, held by a lock while the process lives.

It is `<outbox>/<time>-<host>-<pid>-<random>/`, so that boxes sort by age, and holds

- `lock`, held by the process that the box belongs to,
- `about.json`: for which log, and whose,
- `00000001.facts`, …: the facts, in the order of their acceptance; a file that is forwarded as a whole is deleted,
- `mark`: up to where facts are forwarded.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import socket
import time
from pathlib import Path
from typing import Any

from eventresults.filelock import FileLock
from eventresults.log.box_files import VERSION, Place, about, read_mark, segment, segments, write_mark
from eventresults.log.frames import Frame, FrameReader, Gap

logger = logging.getLogger(__name__)

#: A file that has this many bytes is followed by a new one.
SEGMENT_BYTES = 16 * 2**20


class Box:
    """One box, whose lock this process holds. `write` is for one thread at a time; `next` and `advance` for one other."""

    def __init__(self, path: Path, lock: FileLock, about: dict[str, Any]) -> None:
        self.path = path
        self.about = about
        self._lock = lock
        self._marks = os.open(path / "mark", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._writing: int | None = None
        self._gone = False
        self._reading: tuple[int, int, FrameReader] | None = None
        #: The size of each file, as far as facts in it are accepted.
        self._sizes = {number: segment(path, number).stat().st_size for number in segments(path)}
        self.mark = read_mark(path / "mark")
        self._at = self.mark
        write_mark(self._marks, self.mark, 0)
        self._turn = 1

    @classmethod
    def create(cls, folder: Path, url: str) -> Box:
        """A new one for the log at `url`. Raises OSError."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        host = "".join(char if char.isalnum() else "-" for char in socket.gethostname())[:40]
        name = f"{time.time_ns():020d}-{host}-{os.getpid()}-{secrets.token_hex(4)}"
        made = folder / f".new-{name}"  # renamed once it is whole
        made.mkdir(mode=0o700)
        lock = None
        try:
            lock = FileLock.take_if_free(made / "lock")
            assert lock is not None
            about = {"v": VERSION, "url": url, "pid": os.getpid(), "host": socket.gethostname(), "created": time.time()}
            (made / "about.json").write_text(json.dumps(about) + "\n")
            made.rename(folder / name)
            box = cls(folder / name, lock, about)
            box.roll()
        except BaseException:
            for path in (made, folder / name):
                shutil.rmtree(path, ignore_errors=True)
            _release(lock)
            raise
        return box

    @classmethod
    def adopt(cls, path: Path) -> Box | None:
        """The box of a process that is gone; None if somebody holds it, or it is gone itself. Raises OSError, ValueError."""
        lock = None
        try:
            lock = FileLock.take_if_free(path / "lock")
            return None if lock is None else cls(path, lock, about(path))
        except FileNotFoundError:
            if segments(path):
                _release(lock)
                raise
            if lock is not None:
                _remove(path)  # its owner died while removing it
            _release(lock)
            return None
        except BaseException:
            _release(lock)
            raise

    # Writing

    @property
    def end(self) -> Place:
        """Where the next fact will lie."""
        number = max(self._sizes)
        return Place(number, self._sizes[number])

    def write(self, data: bytes) -> None:
        """Append framed facts: they are accepted once this returns. Raises OSError, and nothing is accepted then."""
        number, size = self.end
        if size >= SEGMENT_BYTES or self._writing is None or self._gone:
            self.roll()
            number, size = self.end
        descriptor = self._writing
        assert descriptor is not None
        written = 0
        try:
            written = os.write(descriptor, data)
            while written < len(data):
                written += os.write(descriptor, data[written:])
        except OSError:
            try:
                if written:
                    os.ftruncate(descriptor, size)
            except OSError:
                self._writing = None  # what is torn stays at the end of this file, and facts go on in the next
                os.close(descriptor)
            raise
        self._sizes[number] = size + len(data)

    def roll(self) -> None:
        """Go on in a new file. Raises OSError."""
        number = max(self._sizes, default=self.mark.segment) + 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(segment(self.path, number), flags, 0o600)
        if self._writing is not None:
            os.close(self._writing)
        self._writing = descriptor
        self._gone = False
        self._sizes[number] = 0

    # Reading

    @property
    def at(self) -> Place:
        """Behind what was read last."""
        return self._at

    def next(self) -> Frame | None:
        """The next fact; None at the end, for now. What cannot be read is set aside. Raises OSError."""
        while True:
            if self._reading is None and not self._open():
                return None
            assert self._reading is not None
            number, _, reader = self._reading
            last = max(self._sizes)  # asked first: a file that is not the last has its final size
            found = reader.read(self._sizes[number])
            self._at = Place(number, reader.offset)
            if isinstance(found, Frame):
                return found
            if isinstance(found, Gap):
                self._set_aside(number, found)
            elif number == last:
                return None
            else:
                self._shut()
                self._at = Place(number + 1, 0)

    def again(self) -> None:
        """Read again from the mark."""
        self._shut()
        self._at = self.mark

    def advance(self, place: Place) -> None:
        """What lies before this place is forwarded; files that are forwarded as a whole are deleted. Raises OSError."""
        if place == self.mark:
            return
        write_mark(self._marks, place, self._turn)
        self._turn ^= 1
        self.mark = place
        for number in [number for number in list(self._sizes) if number < place.segment]:
            segment(self.path, number).unlink(missing_ok=True)
            del self._sizes[number]

    def waiting(self) -> int:
        """Bytes that are not forwarded yet."""
        mark = self.mark
        total = sum(size for number, size in list(self._sizes.items()) if number >= mark.segment)
        return total - (mark.offset if mark.segment in self._sizes else 0)

    # The end

    def remove(self) -> None:
        """Delete it, lock and all."""
        self._close()
        _remove(self.path)
        self._lock.release()

    def leave(self) -> None:
        """Leave it to whoever adopts it."""
        self._close()
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """It is the parent's."""
        self._close()

    def _close(self) -> None:
        self._shut()
        for descriptor in (self._writing, self._marks):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)
        self._writing, self._marks = None, -1

    def _open(self) -> bool:
        numbers = sorted(number for number in list(self._sizes) if number >= self._at.segment)
        for number in numbers:
            offset = min(self._at.offset, self._sizes[number]) if number == self._at.segment else 0
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(segment(self.path, number), os.O_RDONLY | os.O_CLOEXEC)
                self._reading = number, descriptor, FrameReader(descriptor, offset)
                return True
            if self._at < (number, self._sizes[number]):
                logger.error("%s was deleted by somebody: the facts in it are lost", segment(self.path, number))
                self._at = Place(number, self._sizes[number])
            self._gone = True
        return False

    def _shut(self) -> None:
        if self._reading is not None:
            os.close(self._reading[1])
            self._reading = None

    def _set_aside(self, number: int, gap: Gap) -> None:
        size = gap.end - gap.start
        if gap.torn:
            logger.info("%s ends within a fact that was never accepted (%d bytes)", segment(self.path, number), size)
            return
        assert self._reading is not None
        aside = self.path.parent / f"{self.path.name}-{number:08d}-{gap.start}.damaged"
        aside.write_bytes(os.pread(self._reading[1], size, gap.start))
        logger.error(
            "%s is damaged: %d bytes at offset %d are no whole facts. All others are forwarded; these are set aside in %s: see what text "
            "of them can be saved, check the disk, then delete it",
            segment(self.path, number), size, gap.start, aside,
        )  # fmt: skip


def _remove(path: Path) -> None:
    for number in segments(path):
        segment(path, number).unlink(missing_ok=True)
    for name in ("mark", "about.json", "lock"):
        (path / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.rmdir()  # somebody may have put something beside


def _release(lock: FileLock | None) -> None:
    if lock is not None:
        lock.release()
