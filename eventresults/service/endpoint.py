"""Where the owner of a view listens on this host: a Unix socket with a short name, in a folder that only its user may enter."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from eventresults.errors import ViewError

#: What a socket's path may take, on the systems that allow least.
MAX_PATH = 100


def endpoint(view: str | os.PathLike[str], generation: int) -> Path:
    """The socket of the owner of this generation of this view. Makes the folder; raises `ViewError` when it cannot be trusted."""
    name = hashlib.blake2b(f"{os.path.realpath(view)}\0{generation}".encode(errors="surrogateescape"), digest_size=12).hexdigest()
    return check_folder() / name


def check_folder() -> Path:
    """The folder of all sockets, made if need be. Raises `ViewError` when it cannot be trusted."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and len(runtime) + 40 < MAX_PATH and os.access(runtime, os.W_OK | os.X_OK):
        folder = Path(runtime) / "eventresults"
    else:
        base = tempfile.gettempdir()
        # Every process of this user must come to the same place, so a long TMPDIR is left aside by all of them.
        folder = Path(base if len(base) + 60 < MAX_PATH else "/tmp") / f"eventresults-{os.getuid()}"  # noqa: S108 - checked below
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise _untrusted(folder, str(error)) from error
    if not stat.S_ISDIR(found.st_mode):
        raise _untrusted(folder, "it is no folder")
    if found.st_uid != os.getuid():
        raise _untrusted(folder, f"it belongs to user {found.st_uid}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise _untrusted(folder, f"others may enter it (mode {stat.S_IMODE(found.st_mode):o})")
    return folder


def _untrusted(folder: Path, reason: str) -> ViewError:
    return ViewError(
        f"The folder {folder}, where the processes of one user share a view, cannot be used: {reason}. Remove it, or set XDG_RUNTIME_DIR.",
        path=str(folder),
        reason=reason,
    )
