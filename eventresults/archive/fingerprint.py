"""What failures have in common: a short text that is equal for errors that most likely have one cause."""

from __future__ import annotations

import re
from hashlib import blake2b

_FRAME = re.compile(r'File "(?:[^"]*[/\\])?([^"/\\]+)", line \d+, in (\S+)')
_VARYING = re.compile(r"0x[0-9a-fA-F]+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|\b[0-9a-fA-F]{16,}\b|\d+(?:\.\d+)?|'[^']*'|\"[^\"]*\"")
_FRAMES = 5


def fingerprint(kind: str | None, message: str | None, traceback: str | None) -> str:
    """16 hex digits of the error's class and its innermost frames (files and functions, not lines).

    Without a traceback, of its message, in which numbers, ids and quoted texts count as equal.
    """
    frames = _FRAME.findall(traceback or "")[-_FRAMES:]
    what = "\n".join(f"{file}:{function}" for file, function in frames) or _VARYING.sub("#", message or "")
    return blake2b(f"{kind}\n{what}".encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
