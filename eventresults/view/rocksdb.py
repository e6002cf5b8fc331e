"""A Store in RocksDB: one folder per shard, raw bytes, written ahead to disk and never fsynced, for the log is the truth.

Not for a forked child: RocksDB's threads are not there, and even its destructors hang. A child opens its own, or asks the owner.
"""

from __future__ import annotations

import logging
import resource
import time
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, NoReturn, cast
from weakref import WeakSet

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DbClosedError,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
)

from eventresults.errors import Closed, ViewCorrupt, ViewError, ViewLocked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from os import PathLike

MEGABYTE: Final = 1024 * 1024
logger = logging.getLogger(__name__)
_CLOSE_TIMEOUT: Final = 5.0
_BLOCK: Final = 4096
#: So often a folder is looked through whose files come and go meanwhile.
_LOOKS: Final = 10
_LOST: Final = "Corruption: a file of large values is missing"
#: Values of so many bytes, such as segments of history, are kept outside of the tables.
_LARGE: Final = 4096
#: One part in so many of the files that this process may open; RocksDB keeps some 64 however few those are.
_OPEN_FILES: Final = 8


class RocksResources:
    """What all shards of one view share: memory for blocks read, memory for rows not yet flushed, and how each shard is laid out.

    `block_cache` and `write_buffers` are bytes for the whole view, however many shards it has. Make one per view.
    """

    def __init__(self, *, block_cache: int = 256 * MEGABYTE, write_buffers: int = 128 * MEGABYTE) -> None:
        self.options: Final = _options(
            Cache.new_hyper_clock_cache(block_cache, _BLOCK), WriteBufferManager(write_buffers, allow_stall=False), write_buffers
        )


class RocksStore:
    """A `Store` on disk. A commit survives the death of this process, whole or not at all; a power cut may take the latest ones.

    Opens or creates the folder `path`. Raises `ViewLocked` when somebody has it open, `ViewCorrupt` when its bytes are damaged, and
    `ViewError` when the disk does not let us.
    """

    def __init__(self, path: str | PathLike[str], *, resources: RocksResources | None = None) -> None:
        self.path: Final = Path(path)
        resources = resources or RocksResources()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # Of a database that is there, what is not said of its column family is read from its own files: without cache and filters.
            families = {"default": resources.options}
            self._db = Rdict(str(self.path), resources.options, column_families=families, access_type=AccessType.read_write())
        except Exception as error:  # noqa: BLE001 - rocksdict raises bare Exceptions, told apart by their text
            self._explain(error)
        self._open_scans: WeakSet[_Cursor] = WeakSet()
        self._closing = Lock()
        if self._lacks_a_file():
            self._db.close()
            self._explain(Exception(_LOST))

    def get(self, key: bytes) -> bytes | None:
        """The value of one key; None when it is not there."""
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:  # noqa: BLE001
            self._explain(error)
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of many keys, in their order, all of one moment. Other Python threads run meanwhile."""
        try:
            values = cast("list[bytes | None]", self._db.get(list(keys)))
        except Exception as error:  # noqa: BLE001
            self._explain(error)
        return values

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < stop as they are now, in key order or backwards."""
        try:
            rows = self._db.items(backwards=reverse, from_key=stop if reverse else start)
        except Exception as error:  # noqa: BLE001
            self._explain(error)
        cursor = _Cursor(cast("Iterator[tuple[bytes, bytes]]", rows))
        with self._closing:
            self._alive()  # or close() would not see this one
            self._open_scans.add(cursor)
        return self._backwards(cursor, start, stop) if reverse else self._forwards(cursor, start, stop)

    def commit(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes] = ()) -> None:
        """Apply the deletes and then the puts, all or nothing, also across a crash of this process. Raises `ViewError`."""
        batch = WriteBatch(raw_mode=True)
        for key in deletes:
            batch.delete(key)
        for key, value in puts.items():
            batch.put(key, value)
        try:
            self._db.write(batch)
        except Exception as error:  # noqa: BLE001
            self._explain(error)

    def size(self) -> int:
        """The bytes of the shard's files on disk."""
        self._alive()
        return sum(_file_size(file) for file in self.path.iterdir())

    def checkpoint(self, path: Path) -> None:
        """Make the new folder `path` a copy of one moment: hard links to tables on the same file system, copies elsewhere.

        See `Store.checkpoint`. Elsewhere than on the same file system other Python threads stand still while it copies.
        """
        db = self._db
        if path.exists():
            message = f"cannot make a checkpoint at {path}: something is there already; name a new folder"
            raise ViewError(message, path=str(path), reason="it exists")
        try:
            db.flush(wait=True)  # other Python threads run meanwhile, as they do not while a checkpoint flushes
            Checkpoint(db).create_checkpoint(str(path))
        except Exception as error:  # noqa: BLE001
            if isinstance(error, TypeError) and isinstance(db, _ClosedDatabase):
                error = DbClosedError()
            self._explain(error)

    def close(self) -> None:
        """Give the folder back. Idempotent; a later call to the others, or the next row of an open scan, raises `Closed`."""
        with self._closing:
            db, self._db = self._db, cast("Rdict", _ClosedDatabase())
            for cursor in self._open_scans:  # an iterator keeps the database open, and locked, behind a closed Rdict
                cursor.rows = self._closed_rows()
        deadline = time.monotonic() + _CLOSE_TIMEOUT
        while time.monotonic() < deadline:
            try:
                return db.close()
            except DbClosedError:
                return None
            except RuntimeError:  # "Already borrowed": another thread is inside a get_many
                time.sleep(0.001)
            except Exception as error:  # noqa: BLE001 - it is closed, without the flush that was to spare the next opening some work
                logger.warning("closed the shard %s without a flush: %s; what was committed is in its write-ahead log", self.path, error)
                return None
        message = f"{self.path} was still being read {_CLOSE_TIMEOUT:g} s after its close; it is given back when that read ends"
        raise ViewError(message, path=str(self.path))

    def _forwards(self, cursor: _Cursor, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        last = start
        while (row := next(cursor.rows, None)) is not None:
            last = row[0]
            if last >= stop:
                return
            yield row
        self._confirm_end(last, reverse=False)

    def _backwards(self, cursor: _Cursor, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        last = stop
        while (row := next(cursor.rows, None)) is not None:
            last = row[0]
            if last < start:
                return
            if last < stop:  # RocksDB begins at or before `stop`, which is itself outside
                yield row
        self._confirm_end(last, reverse=True)

    def _confirm_end(self, last: bytes, *, reverse: bool) -> None:
        """`Rdict.items` ends in silence at a damaged block as at the last row: look again with an iterator that tells."""
        try:
            iterator = self._db.iter()
            if reverse:
                iterator.seek_for_prev(last)
                if iterator.valid():
                    iterator.prev()
            else:
                iterator.seek(last)
                if iterator.valid():
                    iterator.next()
            iterator.status()
        except Exception as error:  # noqa: BLE001
            self._explain(error)

    def _alive(self) -> None:
        try:
            self._db.path()
        except Exception as error:  # noqa: BLE001
            self._explain(error)

    def _lacks_a_file(self) -> bool:
        """Whether a file of large values is gone, which RocksDB finds out only when it reads it (of tables it does on opening)."""
        for _ in range(_LOOKS):
            try:
                wanted = self._large_files()
                found = sum(file.suffix == ".blob" for file in self.path.iterdir())
                if self._large_files() == wanted:  # or one came or went meanwhile
                    return found < wanted
            except FileNotFoundError:  # the folder is gone with all that was in it
                return True
            except (DbClosedError, RuntimeError):  # closed, or about to be
                return False
        return False

    def _large_files(self) -> int:
        return self._db.property_int_value("rocksdb.num-blob-files") or 0

    def _closed_rows(self) -> Iterator[tuple[bytes, bytes]]:
        yield self._explain(DbClosedError())

    def _explain(self, error: Exception) -> NoReturn:
        """Raise the error of ours that says what to do about this one of RocksDB's."""
        reason = str(error)
        if isinstance(error, DbClosedError) or "mutably borrowed" in reason:  # close() is under way in another thread
            message = "this view was closed; connect again to read it"
            raise Closed(message, what=f"shard {self.path}") from None
        if isinstance(error, TypeError):
            raise error
        if "lock hold by current process" in reason or "While lock file" in reason:
            message = f"{self.path} is open already, in this process or another; close it there, or use another view= folder"
            raise ViewLocked(message, path=str(self.path), pid=None) from error
        if "No such file" in reason and ".blob" in reason and self._lacks_a_file():
            reason = _LOST
        if "Corruption" in reason:
            message = f"the shard {self.path} is damaged: {reason}; run `eventresults view rebuild`, which reads it anew from the log"
            raise ViewCorrupt(message, path=str(self.path), reason=reason) from error
        message = f"cannot use {self.path}: {reason}; see to free space and to the right to write there, then open the view again"
        raise ViewError(message, path=str(self.path), reason=reason) from error


class _ClosedDatabase:
    """What a store has in the place of its database once it is closed: whatever is asked of it was asked too late."""

    def __getattr__(self, name: str) -> NoReturn:
        raise DbClosedError(name)


class _Cursor:
    """The one reference to a RocksDB iterator, so that the store can take it away."""

    __slots__ = ("__weakref__", "rows")

    def __init__(self, rows: Iterator[tuple[bytes, bytes]]) -> None:
        self.rows = rows


def _options(cache: Cache, buffers: WriteBufferManager, write_buffers: int) -> Options:
    blocks = BlockBasedOptions()
    blocks.set_block_cache(cache)
    blocks.set_block_size(_BLOCK)
    blocks.set_bloom_filter(10, block_based=False)
    blocks.set_cache_index_and_filter_blocks(v=True)
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(v=True)
    blocks.set_format_version(5)
    # Neighbours share most of their keys: an index of the differences is smaller, and so is sooner there and sooner searched.
    blocks.set_index_block_restart_interval(16)
    options = Options(raw_mode=True)
    options.create_if_missing(create_if_missing=True)
    options.set_block_based_table_factory(blocks)
    options.set_write_buffer_manager(buffers)
    options.set_write_buffer_size(min(64 * MEGABYTE, write_buffers // 2))
    options.set_max_write_buffer_number(4)
    options.set_max_total_wal_size(write_buffers)
    options.set_compression_per_level([DBCompressionType.none()] * 2 + [DBCompressionType.lz4()] * 5)
    options.set_bottommost_compression_type(DBCompressionType.lz4())  # levels are counted from the lowest in use
    # Rows are written once or twice and mostly read while they are young: what waits in level 0 is merged less often.
    options.set_level_zero_file_num_compaction_trigger(8)
    # One merge reads all that lies between the first and the last key of what it merges, which begin with every kind of row: so a small
    # level comes before the large one, in files that hold few kinds. What goes on from there meets little but the newest of its kind.
    options.set_max_bytes_for_level_base(128 * MEGABYTE)
    options.set_target_file_size_base(64 * MEGABYTE)
    # History is most of the bytes, written once and seldom read: it lies in files of its own, which are not merged with the tables.
    options.set_enable_blob_files(True)
    options.set_enable_blob_gc(True)
    options.set_min_blob_size(_LARGE)
    options.set_blob_compression_type(DBCompressionType.lz4())
    # RocksDB would keep every file open that it ever read, and a view of years has thousands.
    options.set_max_open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _OPEN_FILES)
    options.set_max_background_jobs(2)
    options.set_max_file_opening_threads(1)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(MEGABYTE)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    return options


def _file_size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # compacted away since we listed it
        return 0
