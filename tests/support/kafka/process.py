"""Child processes that cannot outlive the process that started them."""

from __future__ import annotations

import functools
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How long a process may take to stand still.
STOPPED_SECONDS = 5.0

# atexit handlers do not run when a test run is killed by SIGKILL, or by a SIGTERM that nobody handles, and a broker
# left behind keeps its ports and memory. So the kernel is asked (PR_SET_PDEATHSIG, which is 1) to kill the child with
# its parent. The asking is done by a tiny program that then becomes the child by exec, which keeps the setting: code run
# between fork and exec (preexec_fn) may deadlock in a process with threads, and these tests have many. The parent may die
# before the asking, hence the look at getppid(). Elsewhere than on Linux, atexit has to do.
_DEATH_PACT = """\
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the starting process is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


def spawn(command: Sequence[str], *, log: Path) -> subprocess.Popen[bytes]:
    """Start `command` (its first word a full path) with its output appended to `log`; it is killed if we die.

    It gets a session of its own: a Ctrl-C at the terminal reaches the tests alone, which then end it in good order.
    """
    return _spawner_of(os.getpid()).spawn(command, log)


class Child:
    """A started process, and the signals a test sends it. Safe to use from several threads."""

    def __init__(self, command: Sequence[str], *, log: Path) -> None:
        self._process = spawn(command, log=log)
        self.paused = False

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs (a paused process runs too); negative: the signal that ended it."""
        return self._process.poll()

    def pause(self) -> None:
        """Freeze it; the system still accepts connections and bytes for it."""
        self._process.send_signal(signal.SIGSTOP)
        self.paused = True
        # The signal is on its way when it is sent: a thread on another processor may still answer.
        deadline = time.monotonic() + STOPPED_SECONDS
        while not _stopped(self.pid) and time.monotonic() < deadline:
            time.sleep(0.001)

    def resume(self) -> None:
        """Let a frozen process go on. Does nothing to one that is not frozen."""
        self._process.send_signal(signal.SIGCONT)
        self.paused = False

    def ask_to_end(self) -> None:
        """Send SIGTERM, and wake it to hear it. Returns at once."""
        self._process.terminate()
        self.resume()

    def wait(self, timeout: float) -> bool:
        """Wait for the end, at most `timeout` seconds; say whether it came."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it now, by SIGKILL, and return once it is gone. Does nothing if it ended before."""
        self._process.kill()
        self._process.wait()


class _Spawner:
    # The death signal is sent when the *thread* that started the child ends, so a broker started by a test's
    # short-lived thread would die with it. Everything is started by one thread that lives as long as the process.

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[tuple[Sequence[str], Path, Future[subprocess.Popen[bytes]]]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="kafka-harness-spawner", daemon=True).start()

    def spawn(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        future: Future[subprocess.Popen[bytes]] = Future()
        self._orders.put((command, log, future))
        return future.result()

    def _serve(self) -> None:
        while True:
            command, log, future = self._orders.get()
            try:
                future.set_result(_popen(command, log))
            except BaseException as error:
                future.set_exception(error)


@functools.cache
def _spawner_of(_pid: int) -> _Spawner:
    # By process id, because a fork takes no threads along.
    return _Spawner()


def _popen(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _DEATH_PACT, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _stopped(pid: int) -> bool:
    """Whether every thread of this process stands still, or is gone; also where that cannot be seen."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        if text.rpartition(")")[2].split()[0] not in {"T", "Z", "X"}:
            return False
    return True
