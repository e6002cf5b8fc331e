"""Looking into an outbox, and forwarding what dead processes left there, by hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from eventresults.filelock import FileLock
from eventresults.log.base import Log
from eventresults.log.box_files import about, boxes, peek, segments
from eventresults.log.dispatcher import Dispatcher
from eventresults.log.frames import Frame


class Waiting(NamedTuple):
    """One process's box: for which log, whose, whether that process lives, and what waits in it."""

    path: Path
    url: str
    pid: int | None
    host: str
    alive: bool
    facts: int
    bytes: int


class Aside(NamedTuple):
    """A file of what could not be forwarded."""

    path: Path
    bytes: int


def waiting(folder: Path) -> Iterator[Waiting]:
    """The boxes of an outbox, oldest first. Counts of living processes are those of a moment. Raises OSError."""
    for path in boxes(folder):
        try:
            facts = about(path)
        except (FileNotFoundError, ValueError):
            facts = {}
        alive = False
        if (path / "lock").exists():
            lock = FileLock.take_if_free(path / "lock")
            alive = lock is None
            if lock is not None:
                lock.release()
        frames = [found for found in peek(path) if isinstance(found, Frame)]
        if not frames and not alive and not segments(path):
            continue  # removed at this moment
        size = sum(len(frame.key) + len(frame.value) for frame in frames)
        yield Waiting(path, str(facts.get("url", "")), facts.get("pid"), str(facts.get("host", "")), alive, len(frames), size)


def set_aside(folder: Path) -> list[Aside]:
    """What was damaged, or refused by the log for good: for a person to look at. Raises OSError."""
    found = [*folder.glob("*.damaged"), *folder.glob("rejected.jsonl")]
    return [Aside(path, path.stat().st_size) for path in sorted(found)]


def forward(log: Log, folder: Path, *, timeout: float) -> int:
    """Forward what dead processes left for this log, for at most `timeout` seconds; how many facts were forwarded."""
    dispatcher = Dispatcher(log, folder, None)
    thread = threading.Thread(target=dispatcher.run, name="eventresults-outbox", daemon=True)
    thread.start()
    thread.join(timeout)
    dispatcher.stop()
    thread.join(5.0)
    return dispatcher.adopted
