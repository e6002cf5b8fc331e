"""The manifest: what each file's footer says, in one place, so that nobody has to open files to know which of them matter.

It is made of the files and can be made of them again. What it says of a file must be so; what it does not say is read from the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from eventresults.archive.files import Entry
from eventresults.archive.layout import MANIFEST
from eventresults.archive.storage import Storage
from eventresults.errors import ArchiveCorrupt

FORMAT = 1


def load(storage: Storage) -> dict[str, Entry]:
    """What the manifest says, by path; nothing when there is none. Raises `ArchiveCorrupt` when it cannot be read."""
    raw = storage.read(MANIFEST)
    if raw is None:
        return {}
    try:
        found = json.loads(raw)
        entries = {path: Entry(path, *(values[name] for name in Entry._fields[1:])) for path, values in found["files"].items()}
        version = found["format"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise lies(f"it cannot be read ({type(error).__name__}: {error})") from error
    if version != FORMAT:
        raise lies(f"it is of format {version}, and this version reads {FORMAT}")
    return entries


def save(storage: Storage, entries: Iterable[Entry]) -> None:
    """Put a manifest of these files there. Of two writers at once one wins; what it lacks is read from the files."""
    files = {entry.path: {name: value for name, value in entry._asdict().items() if name != "path"} for entry in entries}
    storage.replace(MANIFEST, json.dumps({"format": FORMAT, "files": files}, indent=1).encode())


def lies(reason: str, path: str = MANIFEST) -> ArchiveCorrupt:
    """The error of a manifest that is not so."""
    return ArchiveCorrupt(
        f"The manifest is not to be trusted: {reason}. `eventresults archive repair` makes it anew from the files.",
        path=path,
        reason=reason,
    )
