"""An archive in an object store: S3 and what speaks like it, Google's, Azure's, by URL: `s3://bucket/prefix`.

obstore writes (a put that refuses to replace is what "created only if absent" stands on), pyarrow reads. Both find credentials where the
store's own tools do, as in `AWS_ACCESS_KEY_ID` or the instance's role.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from eventresults.archive.arrow import fs
from eventresults.archive.extra import extra
from eventresults.archive.storage import Stored, unavailable

with extra("archive"):
    import obstore
    from obstore.exceptions import AlreadyExistsError, BaseError
    from obstore.store import from_url


class ObjectFolder:
    """A prefix of a bucket."""

    local = None

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        with self._errors():
            self._store = from_url(self.url)

    @property
    def location(self) -> str:
        """See `Storage.location`."""
        return self.url

    def create(self, path: str, source: Path) -> bool:
        """See `Storage.create`."""
        with self._errors():
            try:
                # One request, however large: only a single put can be told not to replace.
                obstore.put(self._store, path, source, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def replace(self, path: str, content: bytes) -> None:
        """See `Storage.replace`."""
        with self._errors():
            obstore.put(self._store, path, content)

    def read(self, path: str) -> bytes | None:
        """See `Storage.read`."""
        with self._errors():
            try:
                return bytes(obstore.get(self._store, path).bytes())
            except FileNotFoundError:
                return None

    def list(self, folder: str) -> Iterator[Stored]:
        """See `Storage.list`."""
        with self._errors():
            for chunk in obstore.list(self._store, prefix=folder):
                for found in chunk:
                    yield Stored(found["path"], found["size"])

    def delete(self, path: str) -> None:
        """See `Storage.delete`."""
        with self._errors(), suppress(FileNotFoundError):
            obstore.delete(self._store, path)

    @contextmanager
    def drafts(self) -> Iterator[Path]:
        """See `Storage.drafts`."""
        with tempfile.TemporaryDirectory(prefix="eventresults-archive-") as folder:
            yield Path(folder)

    def filesystem(self) -> tuple[Any, str]:
        """See `Storage.filesystem`."""
        with self._errors():
            found: tuple[Any, str] = fs.FileSystem.from_uri(self.url)
            return found

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            raise unavailable(self.url, error) from error
