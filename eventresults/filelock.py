"""A lock on a file that ends with its process: it says who owns a generation of the view, and whose a box of an outbox is."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from threading import Lock
from typing import ClassVar


class FileLock:
    """A POSIX record lock on a file whose text is its holder's process id.

    It ends with its process, and a forked child does not hold it (a `flock` would be inherited, and outlive its owner). But it also
    ends when *any* descriptor of the file is closed in this process: so each file is opened once here, and nobody else may open one.
    """

    _held: ClassVar[dict[tuple[int, int], FileLock]] = {}
    _taking: ClassVar[Lock] = Lock()

    def __init__(self, identity: tuple[int, int], descriptor: int) -> None:
        self._identity = identity
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, file: Path) -> FileLock | None:
        """Take it at once or raise `Busy`; None when the file was removed or replaced meanwhile. Raises OSError."""
        with cls._taking:
            if _identity(file) in cls._held:  # asked by stat: to open it a second time would be to lose it
                raise Busy(os.getpid())
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            lock = None
            try:
                _try_lock(descriptor)
                found = os.fstat(descriptor)
                identity = (found.st_dev, found.st_ino)
                if identity == _identity(file):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                    lock = cls._held[identity] = cls(identity, descriptor)
            finally:
                if lock is None:
                    os.close(descriptor)
            return lock

    @classmethod
    def take_if_free(cls, file: Path) -> FileLock | None:
        """As `take`, but None also when this process or another holds it."""
        try:
            return cls.take(file)
        except Busy:
            return None

    def touch(self, at: int | None = None) -> None:
        """Set the file's time, for others to look at: to now, or to `at` seconds since the epoch. Nothing once released. Raises OSError."""
        with self._taking:
            if self._descriptor is not None:
                os.utime(self._descriptor, None if at is None else (at, at))

    @property
    def released(self) -> bool:
        """Whether this process no longer holds it."""
        return self._descriptor is None

    def release(self) -> None:
        """Let others take it. Idempotent."""
        with self._taking:
            if not self.released:
                del self._held[self._identity]
            self._let_go()

    @classmethod
    def in_forked_child(cls) -> None:
        """Nothing is held here: close the inherited numbers now, for later they may mean other files."""
        cls._taking = Lock()  # another thread of the parent may have had it
        for lock in cls._held.values():
            lock._let_go()  # noqa: SLF001 - its own class
        cls._held.clear()

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class Busy(Exception):
    """Another holds the lock: this process itself, or the one whose id the file gives. Attribute: `pid` (None: not known)."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(pid)
        self.pid = pid


os.register_at_fork(after_in_child=FileLock.in_forked_child)


def _try_lock(descriptor: int) -> None:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):  # POSIX leaves systems the choice between these two
            raise
        text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        raise Busy(int(text) if text.isascii() and text.isdigit() else None) from None


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
