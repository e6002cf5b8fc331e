"""A heartbeat on the disk: while nobody listens at a view, it tells a process that opens or closes it from one that is stopped.

It is the time of the lock's file, which others may look at, but not open (see `FileLock`). Who is heard by a socket sets it to zero: there
is one place at a time to judge it by, and a process that only cannot find the socket takes nobody for stopped.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

from eventresults.filelock import FileLock
from eventresults.view.protocol import BEAT_SECONDS

ELSEWHERE: Final = 0
#: Who gives no sign for so long is stopped. Longer than by the socket: RocksDB opens a store without letting another thread beat meanwhile.
STOPPED_SECONDS: Final = 2.5


class Beat:
    """Gives a sign of life by the time of a lock's file, twice a second, from `begin` to `end`. Any thread."""

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock
        self._ended: threading.Event | None = None
        self._turn = threading.Lock()

    def begin(self) -> None:
        """From now on. Idempotent."""
        with self._turn:
            if self._ended is None:
                self._ended = threading.Event()
                self._touch(None)
                with suppress(RuntimeError):  # no thread begins while an interpreter ends (3.12): who closes at last has given one sign
                    threading.Thread(target=self._run, args=(self._ended,), name="eventresults-view-beat", daemon=True).start()

    def end(self, *, elsewhere: bool) -> None:
        """Not any more; with `elsewhere`, because there is another place now where it is heard. Idempotent."""
        with self._turn:
            if self._ended is not None:
                self._ended.set()
                self._ended = None
            if elsewhere:
                self._touch(ELSEWHERE)

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(BEAT_SECONDS):
            with self._turn:
                if not ended.is_set():
                    self._touch(None)

    def _touch(self, at: int | None) -> None:
        with suppress(OSError):  # of a disk that fails, its owner hears by other ways
            self._lock.touch(at)


def sign_of_life(file: Path) -> int | None:
    """What changes with each beat; `ELSEWHERE` when it is to be heard elsewhere, None when the file is not there."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def work_done(pid: int | None) -> int | None:
    """The processor time that this process has had, in ticks: a busy one does something, if not beat. None where that is not to be had."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return int(after_name[11]) + int(after_name[12])
    except (OSError, IndexError, ValueError):
        return None


class Pulse:
    """Tells by the signs of life that are seen whether who should give them is stopped. Begins with the first look."""

    def __init__(self) -> None:
        self._seen: object = None
        self._since = monotonic()

    def stopped(self, whose: object, sign: int | None, work: int | None = None) -> bool:
        """Whether there has been no other sign than this one, and no more work, for `STOPPED_SECONDS`, of who should give signs here."""
        if self._seen != (whose, sign, work):
            self._seen, self._since = (whose, sign, work), monotonic()
        return sign not in (None, ELSEWHERE) and monotonic() - self._since >= STOPPED_SECONDS
