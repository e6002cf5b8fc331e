"""The ledger: a folder with the signed checkpoints of a log, and the link of every record that they cover.

    checkpoints.jsonl     signed checkpoints of all partitions, one a line, only ever appended to
    links/<partition>     for each signed record its offset and link (40 bytes), which tell where exactly a log differs
    LOCK                  held by the one process that writes

Links are written and synced before the checkpoint that signs them; those after the last checkpoint count for nothing, and neither does
a last line without an end, which a power cut may leave.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final, Self

from eventresults.audit import merkle
from eventresults.audit.chain import Entry
from eventresults.audit.checkpoint import Checkpoint, Signed, parse
from eventresults.errors import ConfigError, NotaryConflict
from eventresults.filelock import Busy, FileLock

CHECKPOINTS: Final = "checkpoints.jsonl"
LINKS: Final = "links"
LOCK: Final = "LOCK"

_entry = Struct(">q32s")


class Ledger:
    """Reads a ledger. Nothing is cached: each call looks anew."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()

    @property
    def exists(self) -> bool:
        """Whether there is one."""
        return (self.folder / CHECKPOINTS).exists()

    def checkpoints(self) -> list[Signed]:
        """Every checkpoint, in the order of signing, signatures unchecked.

        Raises `ConfigError` when there is no ledger, `LedgerCorrupt` for a line that is no checkpoint.
        """
        file = self.folder / CHECKPOINTS
        try:
            raw = file.read_bytes()
        except FileNotFoundError:
            raise ConfigError(
                f"There is no ledger in {self.folder}: name one with --ledger, or let `eventresults audit notary` make it.",
                setting="ledger",
                source=str(self.folder),
            ) from None
        except OSError as error:
            raise ConfigError(f"The ledger in {self.folder} cannot be read: {error}", setting="ledger", source=str(self.folder)) from error
        lines = raw.split(b"\n")[:-1]  # what follows the last line's end was never finished
        return [parse(line, f"{file}:{number}") for number, line in enumerate(lines, 1)]

    def entries(self, checkpoint: Checkpoint) -> list[Entry] | None:
        """The links that this checkpoint signs; None unless they are here and really are what it signs."""
        found = self._read(checkpoint.partition, checkpoint.size - checkpoint.count, checkpoint.count)
        if len(found) != checkpoint.count or merkle.root([entry.link for entry in found]).hex() != checkpoint.root:
            return None
        return found

    def _read(self, partition: int, begin: int, count: int) -> list[Entry]:
        try:
            with (self.folder / LINKS / str(partition)).open("rb") as file:
                file.seek(begin * _entry.size)
                raw = file.read(count * _entry.size)
        except OSError:
            return []
        return [Entry(*one) for one in _entry.iter_unpack(raw[: len(raw) // _entry.size * _entry.size])]


class OpenLedger(Ledger):
    """A ledger that this process alone writes, until it is closed. Made if it is not there; a context manager."""

    def __init__(self, folder: str | Path) -> None:
        """Raises `NotaryConflict` when another process writes it, `ConfigError` when it cannot be written."""
        super().__init__(folder)
        try:
            (self.folder / LINKS).mkdir(parents=True, exist_ok=True)
            lock = FileLock.take(self.folder / LOCK)
            if lock is None:
                raise FileNotFoundError(f"{self.folder} was removed meanwhile")
            self._lock = lock
            self._file = (self.folder / CHECKPOINTS).open("ab")
        except Busy as busy:
            raise NotaryConflict(
                f"The process {busy.pid} writes the ledger in {self.folder} already: one notary does for a log. Stop one of them.",
                place=str(self.folder),
            ) from None
        except OSError as error:
            raise ConfigError(
                f"The ledger in {self.folder} cannot be written: {error}", setting="ledger", source=str(self.folder)
            ) from error
        self._cut_unfinished()

    def append(self, signed: Signed, entries: Sequence[Entry]) -> None:
        """Keep a checkpoint and the links that it signs; returns once both are on the disk. Raises `ConfigError` when it takes no more."""
        checkpoint = signed.checkpoint
        try:
            with os.fdopen(self._open_links(checkpoint.partition), "wb") as file:
                file.truncate((checkpoint.size - checkpoint.count) * _entry.size)
                self._write_links(file, checkpoint, entries)
            self._file.write(signed.line + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error

    def restore(self, checkpoint: Checkpoint, entries: Sequence[Entry]) -> None:
        """Keep the links of a checkpoint that is kept already. Raises as `append`."""
        try:
            with os.fdopen(self._open_links(checkpoint.partition), "wb") as file:
                self._write_links(file, checkpoint, entries)
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Let others write it. Idempotent."""
        self._file.close()
        self._lock.release()

    def _unwritable(self, error: OSError) -> ConfigError:
        return ConfigError(f"The ledger in {self.folder} cannot be written: {error}", setting="ledger", source=str(self.folder))

    def _open_links(self, partition: int) -> int:
        return os.open(self.folder / LINKS / str(partition), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)

    @staticmethod
    def _write_links(file: BinaryIO, checkpoint: Checkpoint, entries: Sequence[Entry]) -> None:
        file.seek((checkpoint.size - checkpoint.count) * _entry.size)
        file.write(b"".join(_entry.pack(*entry) for entry in entries))
        file.flush()
        os.fsync(file.fileno())

    def _cut_unfinished(self) -> None:
        file = self.folder / CHECKPOINTS
        raw = file.read_bytes()
        os.truncate(file, raw.rfind(b"\n") + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
