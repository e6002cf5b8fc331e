"""Where queries run: they see the archive's files through views, and reach nothing else.

DuckDB runs inside this process with external access switched off for good before a query is seen: no other file, no network, no
extension, no Python object, no change of settings; and only statements that read are run. A query has bounds of memory, time and rows. What
does not fit into memory is spilled into a folder of this session's own, which is gone at its end.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Self

from eventresults.archive.archive import Archive
from eventresults.archive.arrow import pa
from eventresults.archive.schema import SCHEMA
from eventresults.archive.sql.duck import duckdb
from eventresults.archive.sql.views import views
from eventresults.errors import ArchiveCorrupt, QueryRefused

#: Statements that only read.
_READING = {"SELECT", "EXPLAIN"}


class Bounds(NamedTuple):
    """What one query may have: bytes of memory and of spilled files (as DuckDB writes them), seconds, and rows of its answer."""

    memory: str = "1GB"
    spill: str = "10GB"
    seconds: float = 60.0
    rows: int = 10_000


class Answer(NamedTuple):
    """What a query answered, as an Arrow table; `cut` when there were more rows than the bounds let through."""

    table: Any
    cut: bool

    @property
    def columns(self) -> Sequence[str]:
        """Their names."""
        return list(self.table.column_names)

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:
        """The rows as plain data; columns of one name are told apart."""
        names = _distinct(self.table.column_names)
        return list(self.table.rename_columns(names).to_pylist())


class Session:
    """Answers questions about one archive, as it was when the session began. One thread.

    `since` and `until` leave out records whose log time is before or not before them, and do not even open files of other days.
    """

    def __init__(
        self, archive: Archive, *, bounds: Bounds | None = None, since: datetime | None = None, until: datetime | None = None
    ) -> None:
        self._bounds = bounds or Bounds()
        self._spill = tempfile.TemporaryDirectory(prefix="eventresults-query-")
        self._connection = duckdb.connect(":memory:")
        try:
            self._prepare(archive, since, until)
        except BaseException:
            self.close()
            raise

    def ask(self, sql: str, values: Mapping[str, Any] | None = None) -> Answer:
        """Answer one query; `values` are those of its `$name`s.

        Raises `QueryRefused` for what is no query, may not be done, or takes more than the bounds allow, and `ArchiveCorrupt` when a file
        cannot be read.
        """
        statement = self._checked(sql)
        watchdog = threading.Timer(self._bounds.seconds, self._connection.interrupt)
        watchdog.daemon = True
        watchdog.start()
        try:
            return self._fetched(self._connection.sql(statement, params=dict(values or {})))
        except duckdb.Error as error:
            raise self._meaning(error) from error
        finally:
            watchdog.cancel()
            watchdog.join()

    def close(self) -> None:
        """Idempotent."""
        self._connection.close()
        self._spill.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(self, archive: Archive, since: datetime | None, until: datetime | None) -> None:
        paths = [
            entry.path for chain in archive.chains().values() for entry in chain.files if _within(entry.first, entry.last, since, until)
        ]
        local = archive.storage.local
        settings = {
            "TimeZone": "UTC",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
            "memory_limit": self._bounds.memory,
            "temp_directory": self._spill.name,
            "max_temp_directory_size": self._bounds.spill,
            "preserve_insertion_order": False,
        }
        for name, value in settings.items():
            self._execute(f"SET {name} = {_quoted(value)}")
        source = "nothing"
        if not paths:
            self._connection.register(source, SCHEMA.empty_table())
        elif local is None:
            source = "stored"
            self._connection.register(source, archive.scan(paths))
        else:
            files = "[" + ", ".join(_quoted(str(local / path)) for path in paths) + "]"
            self._execute(f"SET allowed_paths = {files}")
            source = f"read_parquet({files}, hive_partitioning = false)"
        bounds = [f"log_time >= TIMESTAMPTZ '{since.isoformat()}'"] if since else []
        bounds += [f"log_time < TIMESTAMPTZ '{until.isoformat()}'"] if until else []
        self._execute("SET enable_external_access = false")
        where = f"(FROM {source} WHERE {' AND '.join(bounds)})" if bounds else source
        self._execute(views(where))
        self._execute("SET lock_configuration = true")

    def _execute(self, sql: str) -> None:
        try:
            self._connection.execute(sql)
        except duckdb.Error as error:
            raise self._meaning(error) from error

    def _checked(self, sql: str) -> Any:
        """The one statement in this text, which reads and does nothing else."""
        try:
            statements = self._connection.extract_statements(sql)
        except duckdb.Error as error:
            raise self._meaning(error) from error
        if len(statements) != 1:
            raise _refused(f"one query at a time, and these are {len(statements)}" if statements else "there is no query in it")
        kind = statements[0].type.name
        if kind not in _READING:
            raise _refused(f"{kind} is no question: an archive is read, with SELECT, and never changed")
        return statements[0]

    def _fetched(self, relation: Any) -> Answer:
        limit = self._bounds.rows
        reader = relation.to_arrow_reader(min(limit + 1, 100_000))
        batches, rows = [], 0
        for batch in reader:
            batches.append(batch)
            rows += batch.num_rows
            if rows > limit:
                break
        table = pa.Table.from_batches(batches, schema=reader.schema)
        return Answer(table.slice(0, limit), cut=table.num_rows > limit)

    def _meaning(self, error: duckdb.Error) -> QueryRefused | ArchiveCorrupt:
        text = str(error).partition("\n\nLINE ")[0].strip().rstrip(".")
        bounds = self._bounds
        if isinstance(error, duckdb.InterruptException):
            return _refused(f"it took longer than {bounds.seconds:g} s: ask for less, or allow more with --timeout")
        if isinstance(error, duckdb.OutOfMemoryException):
            return _refused(
                f"it needs more than {bounds.memory} of memory and {bounds.spill} beside it: ask for less, or allow more with --memory"
            )
        if isinstance(error, duckdb.PermissionException):
            return _refused(f"a query reaches nothing but the archive: {text}")
        if isinstance(error, (duckdb.IOException, duckdb.InvalidInputException)) and ".parquet" in text:
            return ArchiveCorrupt(
                f"A file of the archive cannot be read: {text}. `eventresults archive verify` finds out which.", path="", reason=text
            )
        return _refused(text)


def _refused(reason: str) -> QueryRefused:
    return QueryRefused(f"Not answered: {reason}.", reason=reason)


def _within(first: int, last: int, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or last >= since.timestamp() * 1000) and (until is None or first < until.timestamp() * 1000)


def _quoted(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "'" + str(value).replace("'", "''") + "'"


def _distinct(names: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return found
