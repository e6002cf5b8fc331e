"""What processes note down: JSON arrays, a line each, appended in one write, so that a kill leaves whole lines and at most one half."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Notes:
    """A file that this process appends to. Any thread."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __call__(self, *note: Any) -> None:
        line = json.dumps(note).encode() + b"\n"
        while True:
            try:
                os.write(self._descriptor, line)
            except OSError as error:
                if error.errno != errno.EFBIG:  # the limit that stands for a full disk holds for this file, too
                    raise
                time.sleep(0.01)
            else:
                return


def read_notes(path: Path) -> Iterator[list[Any]]:
    """The whole lines of a file, that need not be there yet."""
    if path.exists():
        for line in path.read_bytes().split(b"\n")[:-1]:
            yield json.loads(line)


class Following:
    """The lines of a file that is still written to, those that are new at each call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def __call__(self) -> list[list[Any]]:
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            read = file.read()
        whole = read[: read.rfind(b"\n") + 1]
        self._at += len(whole)
        return [json.loads(line) for line in whole.splitlines()]
