"""A Store in this process's memory: for `memory://`, for tests, and as the model that other stores are compared with."""

from __future__ import annotations

from bisect import bisect_left
from threading import Lock
from typing import TYPE_CHECKING, Final

from eventresults.codec import plain
from eventresults.errors import Closed, ViewCorrupt, ViewError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_ROWS: Final = "rows"


class MemoryStore:
    """A `Store` that ends with its process. Safe to read from any thread; an open scan keeps the rows it began with.

    It begins empty, or with the rows of a `checkpoint`. Raises `ViewCorrupt` when that cannot be read.
    """

    def __init__(self, checkpoint: Path | None = None) -> None:
        self._rows: dict[bytes, bytes] | None = {} if checkpoint is None else _read(checkpoint)
        self._ordered: list[bytes] = []
        self._in_order = not self._rows
        self._lock = Lock()

    def get(self, key: bytes) -> bytes | None:
        """The value of one key; None when it is not there."""
        with self._lock:
            return self._opened().get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of many keys, in their order, all of one moment."""
        with self._lock:
            rows = self._opened()
            return [rows.get(key) for key in keys]

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < stop as they are now, in key order or backwards."""
        with self._lock:
            rows = self._opened()
            if not self._in_order:
                self._ordered = sorted(rows)
                self._in_order = True
            keys = self._ordered[bisect_left(self._ordered, start) : bisect_left(self._ordered, stop)]
            picture = [(key, rows[key]) for key in keys]
        if reverse:
            picture.reverse()
        return self._walk(picture)

    def commit(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes] = ()) -> None:
        """Apply the deletes and then the puts, at once for every reader."""
        gone = list(deletes)
        with self._lock:
            rows = self._opened()
            before = len(rows)
            for key in gone:
                rows.pop(key, None)
            rows.update(puts)
            if gone or len(rows) != before:  # values alone do not change the order
                self._in_order = False

    def size(self) -> int:
        """The bytes of all keys and values."""
        with self._lock:
            return sum(len(key) + len(value) for key, value in self._opened().items())

    def checkpoint(self, path: Path) -> None:
        """Make the new folder `path` a copy of this moment, for another `MemoryStore(path)` to begin with."""
        with self._lock:
            rows = dict(self._opened())
        try:
            path.mkdir()
            (path / _ROWS).write_bytes(plain.pack(list(rows.items())))
        except OSError as error:
            message = f"cannot write a checkpoint to {path}: {error.strerror}; name a new folder in one that is writable"
            raise ViewError(message, path=str(path), reason=str(error.strerror)) from error

    def close(self) -> None:
        """Forget everything. Idempotent; a later call to the others raises `Closed`."""
        with self._lock:
            self._rows = None
            self._ordered = []

    def _walk(self, picture: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        for row in picture:
            self._opened()
            yield row

    def _opened(self) -> dict[bytes, bytes]:
        rows = self._rows
        if rows is None:
            message = "this view was closed; connect again to read it"
            raise Closed(message, what="store")
        return rows


def _read(checkpoint: Path) -> dict[bytes, bytes]:
    try:
        return dict(plain.unpack((checkpoint / _ROWS).read_bytes()))
    except OSError as error:
        message = f"{checkpoint} holds no checkpoint of a view in memory: {error.strerror}"
        raise ViewCorrupt(message, path=str(checkpoint), reason=str(error.strerror)) from error
