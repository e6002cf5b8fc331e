"""The SQLite file of a log: how it is opened, what is in it, and what its errors mean."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from eventresults.errors import LogError, LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

Synchronous = Literal["NORMAL", "FULL"]

APPLICATION_ID = 0x45_56_52_53  # "EVRS"
SCHEMA_VERSION = 1

_SCHEMA = """
    CREATE TABLE records (
        offset INTEGER PRIMARY KEY, log_time INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL
    ) STRICT;
    CREATE TABLE about (log_id TEXT NOT NULL, start INTEGER NOT NULL) STRICT;
"""


class SqliteFile:
    """One connection to the file of a log. Used by one thread at a time.

    Opening makes the file if it is not there, waiting at most `timeout` seconds for other processes. Raises `LogUnavailable`
    with what to do when the path cannot be one of ours.
    """

    def __init__(self, path: Path, *, synchronous: Synchronous, timeout: float, patience: float = 5.0) -> None:
        """`patience`: how many seconds a statement may wait for a lock; `writing` has its own deadline."""
        self.path = path
        _check_path(path)
        deadline = time.monotonic() + timeout
        with self.errors():
            self.connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False, factory=_Connection)
        try:
            with self.errors():
                _insist(lambda: self._prepare(synchronous, deadline), deadline)
                self.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")
                status = path.stat()
        except BaseException:
            self.close()
            raise
        self._inode = status.st_dev, status.st_ino

    def close(self) -> None:
        """Idempotent."""
        self.connection.close()

    def execute(self, statement: str, parameters: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self.connection.execute(statement, parameters)

    @contextlib.contextmanager
    def writing(self, deadline: float) -> Iterator[None]:
        """One write transaction, whole or not at all. Raises `sqlite3.OperationalError` (busy) past the deadline."""
        _insist(lambda: self.execute("BEGIN IMMEDIATE"), deadline)
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.execute("ROLLBACK")
            raise

    def is_replaced(self) -> bool:
        """Whether the path now names another file, or none."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return True
        return (status.st_dev, status.st_ino) != self._inode

    def check_in_place(self) -> None:
        """Raise `LogUnavailable` if the path now names another file, or none."""
        if self.is_replaced():
            raise _refusal(self.path, "was removed or replaced while it was open", "close this log and open it again")

    def bounds(self) -> tuple[int, int]:
        """The first offset and the end."""
        first, last, start = self.execute(
            "SELECT (SELECT min(offset) FROM records), (SELECT max(offset) FROM records), start FROM about"
        ).fetchone()
        return (start, start) if first is None else (first, last + 1)

    def log_id(self) -> str:
        """The id written into the file when it was made."""
        return str(self.execute("SELECT log_id FROM about").fetchone()[0])

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what SQLite and the file system raise into `LogUnavailable`."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise explain(self.path, error) from error

    def _prepare(self, synchronous: Synchronous, deadline: float) -> None:
        application, version, tables = self._identity()
        if (application, version, tables) == (0, 0, 0):
            self._create(deadline)
            application, version, tables = self._identity()
        if application != APPLICATION_ID:
            raise _refusal(self.path, "belongs to another application", "give the log a file of its own")
        if version > SCHEMA_VERSION:
            raise _refusal(
                self.path, f"was written by a newer eventresults (schema {version}, we know {SCHEMA_VERSION})", "upgrade eventresults here"
            )
        # Readers and writers do not block one another; a commit survives the end of this process at any instant.
        self.execute("PRAGMA journal_mode = WAL").fetchall()
        self.execute(f"PRAGMA synchronous = {synchronous}")

    def _identity(self) -> tuple[int, int, int]:
        application = self.execute("PRAGMA application_id").fetchone()[0]
        version = self.execute("PRAGMA user_version").fetchone()[0]
        tables = self.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return application, version, tables

    def _create(self, deadline: float) -> None:
        with self.writing(deadline):
            if self._identity() != (0, 0, 0):
                return  # another process was faster
            for statement in _SCHEMA.split(";")[:-1]:
                self.execute(statement)
            self.execute("INSERT INTO about VALUES (?, 0)", (uuid.uuid4().hex,))
            self.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


class _Connection(sqlite3.Connection):
    """A subclass can be referred to weakly."""


def explain(path: Path, error: Exception) -> LogError:
    """What an error of SQLite or of the file system means for the log."""
    if isinstance(error, LogError):
        return error
    name = getattr(error, "sqlite_errorname", "") or ""
    for prefix, (what, cure) in _MEANINGS.items():
        if name.startswith(prefix):
            return _refusal(path, what, cure)
    return _refusal(path, f"cannot be used ({error})", "see whether the path, its permissions and the disk are well")


_MEANINGS = {
    "SQLITE_NOTADB": ("is not a SQLite database", "choose another path, or move that file away"),
    "SQLITE_CORRUPT": ("is damaged or was cut short", "restore it from a copy, or keep what `sqlite3 FILE .recover` saves of it"),
    "SQLITE_BUSY": ("is locked by another process", "wait for that process, or end it; then try again"),
    "SQLITE_LOCKED": ("is locked by another process", "wait for that process, or end it; then try again"),
    "SQLITE_FULL": ("cannot grow: the disk is full", "free some space, then append again"),
    "SQLITE_READONLY": ("is not writable", "let this user write the file and its folder"),
    "SQLITE_CANTOPEN": ("cannot be opened", "let this user read and write the file and its folder"),
    "SQLITE_PERM": ("may not be opened", "let this user read and write the file and its folder"),
}


def _refusal(path: Path, what: str, cure: str) -> LogUnavailable:
    return LogUnavailable(f"{path} {what}: {cure}", url=f"sqlite:///{path}", reason=what)


def _check_path(path: Path) -> None:
    try:
        if path.is_dir():
            raise _refusal(path, "is a folder", "name a file in it")
        if not path.parent.is_dir():
            raise _refusal(path, f"lies in a folder that does not exist ({path.parent})", "create that folder, or correct the path")
    except OSError as error:
        raise explain(path, error) from error
    writable = os.access(path, os.R_OK | os.W_OK) if path.exists() else os.access(path.parent, os.W_OK | os.X_OK)
    if not writable:
        raise _refusal(path, "is not writable", "let this user write the file and its folder")


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds what we need, for now."""
    return (getattr(error, "sqlite_errorname", "") or "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _insist(act: Any, deadline: float) -> None:
    # SQLite's own busy handler sleeps up to 100 ms between two looks; writers here hold the lock for about one.
    while True:
        try:
            act()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
        else:
            return
        time.sleep(random.uniform(0.0001, 0.001))  # noqa: S311 - not a secret
