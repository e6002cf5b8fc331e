"""What a snapshot says of itself: whose view it is, where each shard stands, and the checksum of every file.

    <folder>/manifest.json      see `Manifest`
    <folder>/<partition>/       a checkpoint of that shard, closed

Nothing in it is believed before it was checked: names are plain names, files are files, and their bytes are those that were written.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal, NoReturn

from pydantic import Field, TypeAdapter, ValidationError

from eventresults.errors import ViewCorrupt
from eventresults.view.clone import TABLES
from eventresults.view.shard import Head

MANIFEST: Final = "manifest.json"
#: A manifest has about 150 bytes for each file.
MAX_BYTES: Final = 64 * 1024 * 1024
#: Read at a time: each read waits for its turn among this process's threads.
CHUNK_BYTES: Final = 4 * 1024 * 1024

Offset = Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True, kw_only=True)
class SnapshotFile:
    """One file of a shard."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$")]
    size: Offset
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, kw_only=True)
class SnapshotShard:
    """One shard: where it stands (as `Head` says) and what it is made of."""

    next_offset: Offset
    last_offset: Annotated[int, Field(ge=-1, lt=2**63)]
    fingerprint: Annotated[str, Field(pattern=r"^([0-9a-f]{2}){0,64}$")]
    log_time: Offset
    schema: int
    files: list[SnapshotFile]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A snapshot of the shards of one view, or of some of them. `partitions` is the number the log has."""

    format: Literal[1] = 1
    log: str
    log_id: str
    partitions: Annotated[int, Field(ge=1)]
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    shards: dict[Annotated[int, Field(ge=0)], SnapshotShard]

    def head(self, partition: int) -> Head:
        """Where one of its shards stands."""
        shard = self.shards[partition]
        return Head(
            log_id=self.log_id,
            partitions=self.partitions,
            next_offset=shard.next_offset,
            last_offset=shard.last_offset,
            fingerprint=bytes.fromhex(shard.fingerprint),
            log_time=shard.log_time,
            schema=shard.schema,
        )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put it into the folder, durably. Raises OSError."""
    with (folder / MANIFEST).open("xb") as file:
        file.write(_adapter().dump_json(manifest, indent=2))
        file.flush()
        os.fsync(file.fileno())


def read_manifest(folder: Path) -> Manifest:
    """Read it, believing nothing. Raises `ViewCorrupt`, also for one that a later version wrote."""
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        _refuse(folder, f"its {MANIFEST} cannot be read ({error.strerror})")
    if len(raw) > MAX_BYTES:
        _refuse(folder, f"its {MANIFEST} is larger than {MAX_BYTES:,} bytes")
    try:
        return _adapter().validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        _refuse(folder, f"its {MANIFEST} is not one that this version wrote ({where[:100] or 'the whole'}: {first['msg']})")


def shard_of(folder: Path, head: Head) -> SnapshotShard:
    """What a manifest says of the shard in this folder. Raises OSError."""
    files = [SnapshotFile(name=file.name, size=file.stat().st_size, sha256=sha256(file)) for file in sorted(folder.iterdir())]
    return SnapshotShard(
        next_offset=head.next_offset,
        last_offset=head.last_offset,
        fingerprint=head.fingerprint.hex(),
        log_time=head.log_time,
        schema=head.schema,
        files=files,
    )


def restore_files(source: Path, shard: SnapshotShard, into: Path) -> None:
    """Make the new folder `into` the shard that was taken, every byte checked. Raises `ViewCorrupt`, and OSError for what `into` does."""
    into.mkdir(mode=0o700)
    for file in shard.files:
        try:
            found = (source / file.name).lstat()
        except OSError as error:
            _refuse(source, f"{file.name} is missing ({error.strerror})")
        if not stat.S_ISREG(found.st_mode):
            _refuse(source, f"{file.name} is not a file")
        if found.st_size != file.size:
            _refuse(source, f"{file.name} has {found.st_size:,} bytes in place of {file.size:,}")
        if (into / file.name).exists():  # to write there would be to write into a table that is shared
            _refuse(source, f"{file.name} is named twice")
        take_files(source, [file.name], into)
        if sha256(into / file.name) != file.sha256:  # of what was taken, whatever becomes of where it came from
            _refuse(source, f"{file.name} was altered: it has another checksum")


def take_files(source: Path, names: Iterable[str], into: Path) -> None:
    """Bring files over: tables, which nobody ever writes again, as hard links where that can be, all else as copies. Raises OSError."""
    for name in names:
        if name.endswith(TABLES):
            try:
                os.link(source / name, into / name, follow_symlinks=False)
            except FileExistsError:
                raise
            except OSError:  # another file system, or one that has no links
                pass
            else:
                continue
        shutil.copyfile(source / name, into / name, follow_symlinks=False)


def sha256(file: Path) -> str:
    """The checksum of a file's bytes. Raises OSError."""
    digest = hashlib.sha256()
    chunk = memoryview(bytearray(min(CHUNK_BYTES, file.stat().st_size + 1)))
    with file.open("rb", buffering=0) as opened:
        while count := opened.readinto(chunk):
            digest.update(chunk[:count])
    return digest.hexdigest()


@cache
def _adapter() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


def _refuse(folder: Path, reason: str) -> NoReturn:
    message = f"The snapshot {folder} cannot be used: {reason}. Take another snapshot, or let the log fill the view."
    raise ViewCorrupt(message, path=str(folder), reason=reason)
