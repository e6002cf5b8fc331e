"""Where the files of an archive lie: names in one folder, which appear whole, and never change what another has written."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from eventresults.archive.arrow import fs
from eventresults.errors import ArchiveUnavailable

_DRAFTS = ".draft-"


class Stored(NamedTuple):
    """One file: its path within the archive, and its size in bytes."""

    path: str
    size: int


class Storage(Protocol):
    """A folder, on this host or in an object store. Safe to use from many processes, on many hosts.

    Its methods raise `ArchiveUnavailable` when the place cannot be reached, read or written.
    """

    @property
    def url(self) -> str:
        """Where it is, for people."""

    def create(self, path: str, source: Path) -> bool:
        """Put this file there, whole and durable, unless one is there already: then False, and nothing was changed."""

    def replace(self, path: str, content: bytes) -> None:
        """Put these bytes there, whole, whatever was there before."""

    def read(self, path: str) -> bytes | None:
        """The bytes that are there; None if there are none."""

    def list(self, folder: str) -> Iterator[Stored]:
        """Every file below this folder."""

    def delete(self, path: str) -> None:
        """Remove it, if it is there."""

    def drafts(self) -> Any:
        """A context: a folder on this host for files that are being written, gone at its end."""

    def filesystem(self) -> tuple[Any, str]:
        """For pyarrow: a file system, and this folder's path in it."""

    @property
    def location(self) -> str:
        """Where it is, as a URI that others understand."""

    @property
    def local(self) -> Path | None:
        """The folder on this host; None where there is none."""


class LocalFolder:
    """A folder of this host's file system, or of one that is mounted and knows hard links."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder)

    @property
    def url(self) -> str:
        """See `Storage.url`."""
        return str(self.path)

    def create(self, path: str, source: Path) -> bool:
        """See `Storage.create`. `source` must lie in `drafts()`: a hard link is what makes it appear, or refuses to."""
        target = self.path / path
        with self._errors():
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync(source)
            try:
                target.hardlink_to(source)
            except FileExistsError:
                return False
            _sync(target.parent)
        return True

    def replace(self, path: str, content: bytes) -> None:
        """See `Storage.replace`."""
        with self._errors(), self.drafts() as folder:
            draft = folder / "draft"
            draft.write_bytes(content)
            _sync(draft)
            draft.replace(self.path / path)
            _sync(self.path)

    def read(self, path: str) -> bytes | None:
        """See `Storage.read`."""
        with self._errors():
            try:
                return (self.path / path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def list(self, folder: str) -> Iterator[Stored]:
        """See `Storage.list`."""
        with self._errors():
            for path in sorted((self.path / folder).rglob("*")):
                if path.is_file() and not path.name.startswith("."):
                    yield Stored(path.relative_to(self.path).as_posix(), path.stat().st_size)

    def delete(self, path: str) -> None:
        """See `Storage.delete`."""
        with self._errors():
            (self.path / path).unlink(missing_ok=True)

    @contextmanager
    def drafts(self) -> Iterator[Path]:
        """See `Storage.drafts`."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._sweep()
        folder = Path(tempfile.mkdtemp(prefix=f"{_DRAFTS}{socket.gethostname()}-{os.getpid()}-", dir=self.path))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def location(self) -> str:
        """See `Storage.location`."""
        return self.path.absolute().as_uri()

    @property
    def local(self) -> Path:
        """See `Storage.local`."""
        return self.path.absolute()

    def filesystem(self) -> tuple[Any, str]:
        """See `Storage.filesystem`."""
        return fs.LocalFileSystem(), str(self.path.absolute())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unavailable(self.url, error) from error

    def _sweep(self) -> None:
        """Remove the drafts of processes of this host that were killed."""
        for folder in self.path.glob(f"{_DRAFTS}{socket.gethostname()}-*"):
            pid = folder.name.split("-")[-2]
            if pid.isdecimal() and not _is_alive(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)


def storage_of(place: str | Path) -> Storage:
    """The storage that this path or URL names."""
    text = str(place)
    if text.startswith("file://"):
        return LocalFolder(unquote(urlsplit(text).path))
    if "://" in text:
        from eventresults.archive.objects import ObjectFolder  # noqa: PLC0415 - most archives are folders

        return ObjectFolder(text)
    return LocalFolder(place)


def unavailable(url: str, error: Exception) -> ArchiveUnavailable:
    """The error of a place that cannot be read or written."""
    reason = (getattr(error, "strerror", None) or str(error)).partition("\n")[0]
    return ArchiveUnavailable(
        f"The archive at {url} cannot be used: {reason}. Check the address, the permissions and the room left.", url=url, reason=reason
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
