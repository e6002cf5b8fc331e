"""Folders beside the generations of a view, each held by one process: what a killed one left is told from what is in use by its lock."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from eventresults.errors import ViewError
from eventresults.filelock import Busy, FileLock

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK = "LOCK"


@contextmanager
def held_folder(parent: Path, *, prefix: str = "", choose: str = "with view=") -> Iterator[Path]:
    """A new folder in `parent` with a random name, for this process alone, and removed at the end. Raises `ViewError`.

    What is left of it after a kill goes with the next `sweep_folders`. It holds a file LOCK, which is not to be touched. `choose` says
    how to name another parent.
    """
    path, lock = _make(parent, prefix, choose)
    try:
        yield path
    finally:
        try:
            remove(path)
        finally:
            lock.release()


def sweep_folders(parent: Path, *, prefix: str = "") -> list[str]:
    """Remove the folders of `held_folder` that nobody holds; their names. Raises `ViewError`."""
    removed = []
    with explained(parent):
        try:
            found = sorted(entry.name for entry in parent.iterdir() if entry.name.startswith(prefix) and entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
    for name in found:
        with explained(parent):
            try:
                lock = FileLock.take(parent / name / LOCK)
            except (Busy, FileNotFoundError):  # in use, or removed meanwhile
                continue
        if lock is not None:
            try:
                remove(parent / name)
            finally:
                lock.release()
            removed.append(name)
    return removed


def empty(folder: Path) -> None:
    """Remove all but the LOCK, by which we hold it."""
    with explained(folder):
        for entry in folder.iterdir():
            if entry.name == LOCK:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def remove(folder: Path) -> None:
    """Remove a folder that we hold; also one that somebody else has removed under our hands."""
    with explained(folder):
        try:
            empty(folder)
            (folder / LOCK).unlink()
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # somebody came to lock it: they see that it was removed
                raise


def fsync_folder(folder: Path) -> None:
    """Have the names in it outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explained(path: Path, *, choose: str = "with view=") -> Iterator[None]:
    """Raise what the disk says as a `ViewError` that says what to do; `choose`: how to name another folder."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"cannot use the folder {path}: {reason}; make it writable and see to free space, or choose another {choose}"
        raise ViewError(message, path=str(path), reason=reason) from error


def _make(parent: Path, prefix: str, choose: str) -> tuple[Path, FileLock]:
    with explained(parent, choose=choose):
        while True:
            path = parent / f"{prefix}{secrets.token_hex(8)}"
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.mkdir(mode=0o700)
            try:
                lock = FileLock.take(path / LOCK)
            except (Busy, FileNotFoundError):  # a sweep came between the two steps
                continue
            if lock is not None:
                return path, lock
