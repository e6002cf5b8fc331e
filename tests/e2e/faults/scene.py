"""A log, a view, and the processes that write and read; who owns the view; and how long readers had to wait."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import eventresults
from eventresults.log.base import Log
from tests.e2e.faults.lines import Following, read_notes

T = TypeVar("T")
ROOT = Path(__file__).parents[3]
DEADLINE = 60.0


class Process:
    """One of them. `name` is of this incarnation."""

    def __init__(self, kind: str, name: str, process: subprocess.Popen[bytes], settings: dict[str, Any]) -> None:
        self.kind, self.name, self.settings = kind, name, settings
        self.process = process
        self.killed = False
        #: What it was when it was killed.
        self.role = kind
        self.stopped = False

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def tell(self, *command: Any) -> None:
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()

    def end(self) -> None:
        """End of its standard input: it ends by itself."""
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def kill(self, role: str | None = None) -> None:
        """SIGKILL; its death is ours."""
        self.killed, self.role = True, role or self.kind
        self.process.kill()
        self.process.wait(DEADLINE)

    def freeze(self) -> None:
        self.stopped = True
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        self.stopped = False
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)


class Scene:
    """Everything of one run, in a folder of its own. `chance` draws what happens; `say` is told what does."""

    def __init__(self, seed: int, *, url: str | None = None, view: Path | None = None, say: Callable[[str], None] = lambda _: None) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.say = say
        self.stack = ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix=f"faults-{seed}-"))
        self.runtime = tempfile.mkdtemp(prefix="er-", dir="/tmp")
        self.stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.stack.callback(shutil.rmtree, self.runtime, ignore_errors=True)
        self.url = url or f"sqlite:///{self.folder}/events.db"
        self.view = view or self.folder / "view"
        self.processes: list[Process] = []
        self.ended: list[Process] = []
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("EVENTRESULTS_")},
            "PYTHONPATH": str(ROOT),
            "XDG_RUNTIME_DIR": self.runtime,
        }
        before = os.environ.get("XDG_RUNTIME_DIR")
        os.environ["XDG_RUNTIME_DIR"] = self.runtime  # this process looks for the owner, too
        self.stack.callback(lambda: os.environ.pop("XDG_RUNTIME_DIR") if before is None else os.environ.update(XDG_RUNTIME_DIR=before))
        #: The brokers, and what the log is there.
        self.kafka: Any = None
        self.topic = ""
        self.partitions = 1
        self.configs: dict[str, Any] = {}
        #: The Kafka clients that its processes draw from.
        self.clients: tuple[str, ...] = ()
        #: The members that share the view, where a group does.
        self.group: Any = None
        #: The service and the way there, where readers are elsewhere.
        self.network: Any = None
        #: Fills the view's disk, where it has one of its own.
        self.ballast: Path | None = None
        self._witness: eventresults.Tracker | None = None
        self._following: dict[str, Following] = {}
        self._before: set[str] = set()
        self._made: dict[str, int] = {}
        self._started: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for one in self.processes:
            one.process.kill()
            one.process.wait(DEADLINE)
            one.end()
        self.stack.close()

    # Processes

    def start(self, kind: str, **settings: Any) -> Process:
        """A "writer" or a "reader", in the place of one that ended if need be."""
        number = self._made[kind] = self._made.get(kind, 0) + 1
        name = f"{kind[0]}{number}"
        own = {"view": str(self.view), **self.client_of(name), **settings}
        command = [sys.executable, "-m", f"tests.e2e.faults.{kind}", str(self.folder), name, str(self.seed * 1000 + number), self.url]
        with (self.folder / f"stderr-{name}").open("ab") as stderr:
            process = subprocess.Popen(
                [*command, json.dumps(own)], stdin=subprocess.PIPE, stderr=stderr, env=self.environment, cwd=ROOT,
            )  # fmt: skip
        one = Process(kind, name, process, settings)
        self.processes.append(one)
        return one

    def start_writers(self) -> None:
        """One that appends by itself, and one by way of an outbox."""
        self.start("writer")
        self.start("writer", outbox=str(self.folder / "outbox"))

    def client_of(self, name: str) -> dict[str, str]:
        """The setting that has a process of this name use the Kafka client that the seed draws for it."""
        return {"client": random.Random(f"{self.seed}-{name}").choice(self.clients)} if self.clients else {}

    @property
    def where(self) -> dict[str, str]:
        """What readers are told of the view: it is this host's, a service's or a group's."""
        if self.group is not None:
            return {"view": "group", "group": self.group.name}
        return {} if self.network is None else {"view": self.network.url}

    def retire(self, *these: Process) -> None:
        """Let them come to their ends; nobody takes their place."""
        for one in these:
            one.end()
        for one in these:
            self.until(lambda one=one: not one.alive, f"the end of {one.name}")
            self.processes.remove(one)
            self.ended.append(one)

    def restart_dead(self) -> None:
        """Others in the place of those that were killed."""
        for one in [each for each in self.processes if not each.alive]:
            self.processes.remove(one)
            self.ended.append(one)
            one.end()
            self.start(one.kind, **one.settings)

    def of(self, kind: str) -> list[Process]:
        return [one for one in self.processes if one.kind == kind and one.alive]

    @property
    def owner(self) -> Process | None:
        """The process that holds the lock of the current generation, as far as its text tells."""
        try:
            current = int((self.view / "current").read_text())
            pid = int((self.view / str(current) / "LOCK").read_text())
        except (OSError, ValueError):
            return None
        return next((one for one in self.of("reader") if one.pid == pid), None)

    def until(self, ask: Callable[[], T], what: str, *, timeout: float = DEADLINE) -> T:
        deadline = time.monotonic() + timeout
        while not (answer := ask()):
            if time.monotonic() > deadline:
                raise Hung(f"{what} did not come about in {timeout:g} s")
            time.sleep(0.01)
        return answer

    def wait_for_owner(self) -> Process:
        return self.until(lambda: self.owner, "an owner")

    # The log and the disk

    @property
    def witness(self) -> eventresults.Tracker:
        """A tracker of this process, that never owns the view; its recorder adopts the outboxes of the dead."""
        if self._witness is None:
            where = {"view": str(self.view), **self.client_of("witness"), **(self.where if self.group is not None else {})}
            self._witness = eventresults.connect(self.url, own="never", outbox=str(self.folder / "outbox"), **where)
            self.stack.callback(self._witness.close)
        return self._witness

    @property
    def log(self) -> Log:
        """The log, for this process."""
        return self.witness.log

    def some_records(self, count: int) -> list[tuple[bytes, bytes]]:
        """Keys and values of some records of the log."""
        info = self.log.info(DEADLINE)
        at = {p: self.chance.randrange(info.starts[p], end) for p, end in info.ends.items() if end > info.starts[p]}
        with closing(self.log.reader(at)) as reader:
            records = [record for poll in reader.poll(5.0).values() for record in poll.records]
        return [(one.key or b"", one.value or b"") for one in records[:count]]

    def mount_small_disk(self, size: str = "24m") -> bool:
        """Give the view a disk of its own, that can be filled; False where this user may not mount one."""
        self.view.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(self.view)], capture_output=True, check=False
        )
        if mounted.returncode == 0:
            self.ballast = self.view / "ballast"
            self.stack.callback(subprocess.run, ["umount", "-l", str(self.view)], check=True)
        return mounted.returncode == 0

    # What they noted

    def notes(self, one: Process) -> list[list[Any]]:
        """All of them, but not of tasks of before `leave_behind`."""
        return [] if one.name in self._before else [kept for note in self.all_notes(one) if (kept := self._now(note))]

    def all_notes(self, one: Process) -> list[list[Any]]:
        path = self._notes_path(one)
        return [*read_notes(path.with_name(f"old-{path.name}")), *read_notes(path)]

    def _notes_path(self, one: Process) -> Path:
        return self.folder / f"{'ledger' if one.kind == 'writer' else 'told'}-{one.name}"

    def _now(self, note: list[Any]) -> list[Any] | None:
        if note[0] == "promised":
            return [note[0], [task for task in note[1] if self._writer(task) not in self._before], note[2]]
        about = note[1] if note[0] in {"fired", "got", "told", "read", "closed"} else ""
        return None if self._writer(about) in self._before else note

    @staticmethod
    def _writer(task: str) -> str:
        return task.rpartition("-")[0]

    def leave_behind(self) -> None:
        """The tasks of the writers that ended do not count any more: what becomes of the log now makes them mean nothing."""
        for one in self.ended:
            if one.kind == "writer" and one.name not in self._before:
                self._before.add(one.name)
                path = self._notes_path(one)
                if path.exists():
                    path.rename(path.with_name(f"old-{path.name}"))

    def new_notes(self, one: Process) -> list[list[Any]]:
        """Those since this was asked last."""
        return self._following.setdefault(one.name, Following(self._notes_path(one)))()

    def has_read(self, one: Process) -> bool:
        """Whether it is past its start."""
        if one.name not in self._started and any(note[0] == "read" for note in self.notes(one)):
            self._started.add(one.name)
        return one.name in self._started

    def stderr(self, one: Process) -> str:
        return (self.folder / f"stderr-{one.name}").read_text(errors="replace")

    def served_since(self, begun: float, *, within: float, who: list[Process]) -> float:
        """Wait until each of these answered a linearizable read that it asked after `begun`; how long the last one took for its first."""
        waiting = {one.name: one for one in who}
        last = 0.0
        deadline = time.monotonic() + within
        while waiting:
            for name, one in list(waiting.items()):
                ends = [note[8] for note in self.new_notes(one) if note[0] == "read" and note[6] == "latest" and note[7] >= begun]
                if ends:
                    last = max(last, ends[0] - begun)
                    del waiting[name]
                elif not one.alive:
                    del waiting[name]
            if waiting and time.monotonic() > deadline:
                raise Hung(f"{sorted(waiting)} had no answer for {within:g} s")
            time.sleep(0.005)
        return last


class Hung(Exception):
    """Something did not come about in time."""
