"""A copy of a shard on disk whose owner does not answer: what a crash of its owner would have left, or nothing.

The owner may be stopped, or may still be writing (a false alarm). RocksDB makes this possible: it appends to its MANIFEST and to its
write-ahead logs, never writes a table (`*.sst`, and `*.blob` for large values) again once the MANIFEST names it, and deletes a log or a
table only after a MANIFEST entry has made it needless. So the order decides:

1. The write-ahead logs, oldest first. Together they are a prefix of what was written; a later MANIFEST can only need fewer of them.
2. The tables, as hard links; then the MANIFEST; then the tables that came meanwhile. If the MANIFEST is still the same after that, no
   table it names can have been deleted between, and the links are complete; else the second step is done again.

A table that the owner was still writing is linked too: no MANIFEST names it, so RocksDB removes the link when it opens the clone, and it
numbers its own files past those it finds. Neither writes into the other's files.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final, NamedTuple

from eventresults.errors import ViewCorrupt, ViewError

ATTEMPTS = 100
#: What nobody ever writes again once it is whole.
TABLES: Final = (".sst", ".blob")


def clone_shard(source: Path, into: Path) -> None:
    """Make the folder `into`, on the same file system, a shard that holds a prefix of what was committed to `source`.

    Takes milliseconds, but copies what was not flushed yet. Raises `ViewCorrupt` when there is no shard in `source`, `ViewError` when it
    changes too fast to be had, and OSError when the disk does not let us; what is in `into` is then to be removed.
    """
    into.mkdir(mode=0o700)
    _copy_write_ahead_logs(source, into)
    for _ in range(ATTEMPTS):
        _link_tables(source, into)
        manifest = _manifest(source)
        shutil.copyfile(source / manifest.name, into / manifest.name)
        _link_tables(source, into)
        if _manifest(source) == manifest and (into / manifest.name).stat().st_size == manifest.size:
            (into / "CURRENT").write_text(f"{manifest.name}\n", "ascii")
            _copy_the_rest(source, into)
            return
        (into / manifest.name).unlink()
    raise _too_fast(source)


class _Manifest(NamedTuple):
    name: str
    size: int


def _manifest(source: Path) -> _Manifest:
    try:
        name = (source / "CURRENT").read_text("ascii", "replace").strip()
    except FileNotFoundError:
        name = ""
    if not name.startswith("MANIFEST-") or not name[9:].isdecimal():
        message = f"{source} holds no shard that can be cloned: its CURRENT names {name[:64]!r}; the log fills another one"
        raise ViewCorrupt(message, path=str(source), reason="no CURRENT manifest")
    try:
        return _Manifest(name, (source / name).stat().st_size)
    except FileNotFoundError as error:
        message = f"{source} holds no shard that can be cloned: its {name} is missing; the log fills another one"
        raise ViewCorrupt(message, path=str(source), reason=f"no {name}") from error


def _copy_write_ahead_logs(source: Path, into: Path) -> None:
    for name in _write_ahead_logs(source):
        try:
            shutil.copyfile(source / name, into / name)
        except FileNotFoundError:  # its rows are in tables by now, and the MANIFEST that says so is yet to be copied
            (into / name).unlink(missing_ok=True)


def _write_ahead_logs(source: Path) -> list[str]:
    """Their names, oldest first. A listing that changes while it is made may lack one in the middle: then look again."""
    found = _listed(source, ".log")
    for _ in range(ATTEMPTS):
        again = _listed(source, ".log")
        if again == found:
            return found
        found = again
    raise _too_fast(source)


def _link_tables(source: Path, into: Path) -> None:
    there = set(_listed(into, *TABLES))
    for name in _listed(source, *TABLES):
        if name not in there:
            try:
                os.link(source / name, into / name)
            except FileNotFoundError:  # compacted away; if the MANIFEST still names it, that has changed since
                continue


def _copy_the_rest(source: Path, into: Path) -> None:
    for entry in source.iterdir():
        if entry.name in ("IDENTITY", "rocksdict-config.json") or entry.name.startswith("OPTIONS-"):
            try:
                shutil.copyfile(entry, into / entry.name)
            except FileNotFoundError:  # replaced by a newer one; a shard opens without it
                continue


def _listed(folder: Path, *suffixes: str) -> list[str]:
    files = [file for file in folder.iterdir() if file.suffix in suffixes and file.stem.isdecimal()]
    return [file.name for file in sorted(files, key=lambda file: int(file.stem))]


def _too_fast(source: Path) -> ViewError:
    message = f"{source} changed {ATTEMPTS} times while it was cloned: its owner is alive; ask it, or let the log fill another one"
    return ViewError(message, path=str(source), reason="it changes too fast")
