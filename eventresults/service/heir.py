"""A process of its own that owns the view, started by one that may not: where all who read are forks of an owner that is gone.

    <view>/HEIR     locked from before an heir is started until it serves, or is gone; its text says why there is none

The lock is a `flock`, because it is to be inherited: it goes with the heir and ends with it, whoever sent the heir lives on or not. The
heir is no child of the process that sends it, so that it leaves nothing there to be waited for.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any, ClassVar, Final, Protocol, Self

from eventresults.view.folders import explained

logger = logging.getLogger(__name__)

FILE: Final = "HEIR"
#: How long an heir stays that nobody reads from.
IDLE_SECONDS = 10.0
#: Between the failure of one and the next.
RETRY_SECONDS: Final = 2.0
START_SECONDS: Final = 5.0
#: What the heir may say of its failure.
MAX_REASON_BYTES: Final = 2_000

#: In an interpreter that is there within milliseconds: go on as nobody's child.
_ALONE: Final = "import os, sys\nif os.fork(): os._exit(0)\nos.execv(sys.argv[1], sys.argv[1:])"


class Heir(Protocol):
    """Can have another process own the view."""

    def send(self, *, silent: int | None, needed: Callable[[], bool]) -> None:
        """Start one, unless one is on its way, or failed a moment ago, or it is not `needed()` after all. Returns at once.

        `silent` is the generation whose owner does not answer, if there is one. Raises `ViewError` when the view's folder cannot be used.
        """

    @property
    def why(self) -> str:
        """Why it does not serve, as far as it is known."""


class HeirProcess:
    """Starts `python -m module` for the view in `folder`, and gives it `handed` by its standard input."""

    def __init__(self, folder: Path, *, module: str, handed: Mapping[str, Any]) -> None:
        self._folder = folder
        self._module = module
        self._handed = handed

    def send(self, *, silent: int | None, needed: Callable[[], bool]) -> None:
        """See `Heir.send`."""
        with explained(self._folder):
            baton = Baton.take(self._folder)
        if baton is None:
            return
        with baton:
            if baton.dropped_of_late or not needed():
                return
            baton.write("it has not come to serve it")
            try:
                self._start(baton, silent)
            except OSError as error:
                baton.write(f"it could not be started: {error}")
                logger.warning("no process could be started to own the view at %s: %s", self._folder, error)

    @property
    def why(self) -> str:
        """See `Heir.why`."""
        try:
            return (self._folder / FILE).read_text("utf-8", "replace").strip() or "it is gone again"
        except OSError as error:
            return str(error)

    def _start(self, baton: Baton, silent: int | None) -> None:
        handed = {"settings": self._handed, "idle": IDLE_SECONDS, "silent": silent, "baton": baton.number}
        reading, writing = os.pipe()
        # Spawned, not forked, whatever has been put in place of `subprocess`: what is done in a forked child would close the baton.
        with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb") as stdin, Path(os.devnull).open("wb") as nowhere:
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", "-c", _ALONE, sys.executable, "-P", "-m", self._module],
                {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path)},  # noqa: PTH100 - "" is here
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, pipe.fileno(), 0),
                    (os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, baton.number, baton.number),  # onto itself: that one stays open
                ],
                setsid=True,
            )
            pipe.close()
            try:
                stdin.write(json.dumps(handed).encode() + b"\n")
                stdin.flush()
            except OSError:
                os.kill(pid, signal.SIGKILL)
                raise
            finally:
                _reap(pid)


def _reap(pid: int) -> None:
    """Wait for it, which takes milliseconds; not for ever."""
    deadline = monotonic() + START_SECONDS
    with suppress(ChildProcessError):  # somebody else waited for it
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if monotonic() >= deadline:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return
            sleep(0.001)


class Baton:
    """The lock on a view's file HEIR. A context manager: what it was passed to holds on to it after the block."""

    _open: ClassVar[set[int]] = set()

    def __init__(self, number: int) -> None:
        #: Its descriptor.
        self.number: Final = number
        self._open.add(number)

    @classmethod
    def take(cls, folder: Path) -> Baton | None:
        """Take it now; None when another has it. Raises OSError."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        baton = cls(os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        try:
            fcntl.flock(baton.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            baton.close()
            return None
        except BaseException:
            baton.close()
            raise
        return baton

    @property
    def dropped_of_late(self) -> bool:
        """Whether who had it before came to nothing a moment ago."""
        found = os.fstat(self.number)
        return found.st_size > 0 and abs(time() - found.st_mtime) < RETRY_SECONDS

    def write(self, reason: str) -> None:
        """Say why nobody serves."""
        os.ftruncate(self.number, 0)
        os.pwrite(self.number, reason.encode("utf-8", "replace")[:MAX_REASON_BYTES], 0)

    def finish(self) -> None:
        """Somebody serves: let go of it."""
        os.ftruncate(self.number, 0)
        self.close()

    def close(self) -> None:
        """Let go of it here. Idempotent."""
        if self.number in self._open:
            self._open.discard(self.number)
            os.close(self.number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @classmethod
    def in_forked_child(cls) -> None:
        """It is for an heir, and not for whoever is forked at this moment."""
        for number in cls._open:
            os.close(number)
        cls._open.clear()


os.register_at_fork(after_in_child=Baton.in_forked_child)
