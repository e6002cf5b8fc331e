"""A process that reads, waits and listens, and notes what it was told. It owns the view when nobody else does.

`python -m tests.e2e.faults.reader FOLDER NAME SEED URL SETTINGS`. Commands come on standard input, a JSON array a line: ["arm", "before" |
"after"] (die by SIGKILL at the next commit), ["fork"], ["rebuild"], ["stop"]; its end ends the process.

Its notes: ["up", pid], ["promised", ids, ends of the log or None], ["fired" | "got", id, state], ["told", id, offset, state],
["read", id, partition, offset that had to be seen, last offset that was or None, state or None, freshness, from, until (monotonic)],
["error", where, type, whether it is ours, message], ["forked", seconds, exit code], ["rebuilt", records], ["end"].
"""

from __future__ import annotations

import json
import os
import queue
import random
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import eventresults
from eventresults import bootstrap
from eventresults.errors import Closed, EventResultsError, TaskRevokedError
from eventresults.view.base import Change
from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore
from tests.e2e.faults.lines import Notes

AHEAD = 15
WAITING = 6
GET_SECONDS = 60.0


class MortalStore(RocksStore):
    """A store on disk whose process can be told to die at a commit: just before it, or between it and what it is to tell."""

    armed = ""

    def commit(self, puts: Any, deletes: Any = ()) -> None:
        if self.armed == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        super().commit(puts, deletes)
        if self.armed == "after":
            os.kill(os.getpid(), signal.SIGKILL)


def make_stores(_settings) -> Callable[[Path], RocksStore]:
    """As `bootstrap.make_stores`, of small stores: what is flushed often can be damaged often."""
    resources = RocksResources(block_cache=4 * MEGABYTE, write_buffers=MEGABYTE)
    return lambda path: MortalStore(path, resources=resources)


class Reader:
    def __init__(self, folder: Path, name: str, seed: int, url: str, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.note = Notes(folder / f"told-{name}")
        self.tracker = eventresults.connect(url, **settings)
        self.promised: set[str] = set()
        self.watching: list[Any] = []
        self.to_get: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.getting = 0
        self.note("up", os.getpid())

    def error(self, where: str, error: BaseException) -> None:
        self.note("error", where, type(error).__name__, isinstance(error, EventResultsError), str(error))

    def step(self) -> None:
        """Promise what is about to be written, and read what was written just now."""
        ledgers = [last for path in self.folder.glob("ledger-*") if (last := last_acked(path)) is not None]
        if not ledgers:
            # Reading nothing is reading, too: somebody has to own the view.
            self.guarded("read", lambda: self.tracker.read("nobody"))
            return
        self.promise(ledgers)
        for _ in range(4):
            self.read(self.chance.choice(ledgers))

    def promise(self, ledgers: list[list[Any]]) -> None:
        ids = []
        for _, _, task, *_ in ledgers:
            name, _, born = task.rpartition("-")
            ids += [one for ahead in range(1, AHEAD) if (one := f"{name}-{int(born) + ahead}") not in self.promised]
        ids = [one for one in ids if self.chance.random() < 0.3]
        if ids:
            self.guarded("promise", lambda: self.promise_these(ids))

    def promise_these(self, ids: list[str]) -> None:
        ends, made = None, []
        try:
            self.watching.append(self.tracker.view.subscribe(ids, self.told))
            self.promised.update(ids)
            for one in ids:
                made.append(one)
                self.tracker.AsyncResult(one).then(self.fired, on_error=lambda error, one=one: self.failed(one, error))
            for one in self.chance.sample(ids, min(2, len(ids))):
                self.get(one)
            self.tracker.read_many(ids, freshness="latest")  # only now all are listened to for sure, wherever
            info = self.tracker.log.info(10)
            ends = {str(p): end for p, end in info.ends.items()}
        finally:
            self.note("promised", made, ends)

    def fired(self, result: Any) -> None:
        self.note("fired", result.id, "SUCCESS")

    def failed(self, one: str, error: BaseException) -> None:
        if isinstance(error, Closed):
            self.note("closed", one)  # it was pending when this process ended
        else:
            self.note("fired", one, "REVOKED" if isinstance(error, TaskRevokedError) else "FAILURE")

    def told(self, change: Change) -> None:
        self.note("told", change.subject, change.fact.position.offset, change.meta and getattr(change.meta, "state", None))

    def get(self, one: str) -> None:
        if self.getting >= WAITING:
            return
        self.getting += 1

        def wait() -> None:
            try:
                result = self.tracker.AsyncResult(one)
                result.get(timeout=GET_SECONDS, propagate=False)
                self.note("got", one, str(result.state))
            except Exception as error:
                self.error("get", error)
            finally:
                self.getting -= 1

        threading.Thread(target=wait, name=f"get-{one}", daemon=True).start()

    def read(self, acked: list[Any]) -> None:
        _, _, task, _, _, partition, offset = acked
        freshness = self.chance.choice(["default", "latest"])

        def read() -> None:
            begun = time.monotonic()
            meta = self.tracker.read(task, freshness=freshness)
            found = (None, None) if meta is None else (meta.last_offset, str(meta.state))
            self.note("read", task, partition, offset, *found, freshness, begun, time.monotonic())

        self.guarded("read", read)

    def guarded(self, where: str, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:
            self.error(where, error)

    # Commands

    def fork(self) -> None:
        """A child reads what its parent read, and ends as processes do."""
        here, there = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(here)
            signal.alarm(30)
            self.guarded("read in a child", lambda: self.tracker.read("nobody"))
            with suppress(BrokenPipeError):  # the parent was killed
                os.write(there, str(time.monotonic()).encode())
            sys.exit(0)
        os.close(there)

        def wait() -> None:
            _, status = os.waitpid(child, 0)
            ended = time.monotonic()
            said = os.read(here, 100)
            os.close(here)
            self.note("forked", ended - float(said or ended), os.waitstatus_to_exitcode(status))

        threading.Thread(target=wait, name="fork-wait", daemon=True).start()

    def rebuild(self) -> None:
        def rebuild() -> None:
            self.guarded("rebuild", lambda: self.note("rebuilt", self.tracker.rebuild()))

        threading.Thread(target=rebuild, name="rebuild", daemon=True).start()

    def run(self) -> None:
        reading, buffer = True, b""
        while True:
            if select.select([0], [], [], 0.02)[0]:
                got = os.read(0, 65536)
                if not got:
                    break
                buffer += got
                *lines, buffer = buffer.split(b"\n")
                for command, *arguments in map(json.loads, lines):
                    match command:
                        case "arm":
                            MortalStore.armed = arguments[0]
                        case "fork":
                            self.fork()
                        case "rebuild":
                            self.rebuild()
                        case "stop":
                            reading = False
            if reading:
                self.step()
        self.tracker.close()
        self.note("end")


def last_acked(path: Path) -> list[Any] | None:
    """The last acknowledgement in a ledger, that may be removed at any time."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - 4096, 0))
        for line in reversed(file.read().split(b"\n")[1:-1]):
            note = json.loads(line)
            if note[0] == "acked":
                return note
    return None


if __name__ == "__main__":
    bootstrap.make_stores = make_stores
    Reader(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4], json.loads(sys.argv[5])).run()
