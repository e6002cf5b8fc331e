"""A lock on a file that ends with its process."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from threading import Lock
from typing import ClassVar


class FileLock:
    """A POSIX record lock. It ends with its process, and a forked child does not hold it.

    It also ends when *any* descriptor of the file is closed in this process: so each file is opened once here, and by nobody else.
    """

    _held: ClassVar[dict[tuple[int, int], FileLock]] = {}
    _taking: ClassVar[Lock] = Lock()

    def __init__(self, identity: tuple[int, int], descriptor: int) -> None:
        self._identity = identity
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, file: Path) -> FileLock | None:
        """Take it at once; None when this process or another holds it, or the file was removed meanwhile. Raises OSError."""
        with cls._taking:
            if _identity(file) in cls._held:  # asked by stat: to open it a second time would be to lose it
                return None
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            lock = None
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found = os.fstat(descriptor)
                identity = (found.st_dev, found.st_ino)
                if identity == _identity(file):
                    lock = cls._held[identity] = cls(identity, descriptor)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):  # POSIX leaves systems the choice between these two
                    raise
            finally:
                if lock is None:
                    os.close(descriptor)
            return lock

    def release(self) -> None:
        """Let others take it. Idempotent."""
        with self._taking:
            self._held.pop(self._identity, None)
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


os.register_at_fork(after_in_child=FileLock.in_forked_child)


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
