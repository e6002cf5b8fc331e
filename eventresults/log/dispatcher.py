"""The thread behind an outbox: it forwards what dead processes left, oldest first, and then this process's own facts, for ever."""

from __future__ import annotations

import base64
import json
import logging
import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from eventresults.domain.position import Position
from eventresults.filelock import FileLock
from eventresults.log.base import EventWriter, Log
from eventresults.log.box import Box
from eventresults.log.box_files import boxes, half_made
from eventresults.log.forwarder import Forwarder, Outcome
from eventresults.log.frames import Frame

logger = logging.getLogger(__name__)

#: How often a living process looks for what dead ones left.
LOOK_SECONDS = 30.0
#: How long a new process lets another one finish with what dead ones left, before it forwards its own facts.
GRACE_SECONDS = 5.0
#: Between two attempts at a log that takes nothing: doubled from the first to the last.
BACKOFF_SECONDS = (0.1, 5.0)
REJECTED = "rejected.jsonl"

_HALF_MADE_SECONDS = 60.0


class Dispatcher:
    """Forwards `own` (None: only what dead processes left, then it ends) and adopted boxes of the log into the log.

    `settle(number, outcome)` is told of own facts, `moved()` after each step, `idle()` when the end of the own box was reached.
    `run` is for one thread, the rest for any.
    """

    def __init__(
        self,
        log: Log,
        folder: Path,
        own: Box | None,
        *,
        settle: Callable[[int, Outcome], None] = lambda _number, _outcome: None,
        moved: Callable[[], None] = lambda: None,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._log = log
        self._folder = folder
        self._own = own
        self._tell = settle
        self._moved = moved
        self._idle = idle
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._writer: EventWriter | None = None
        self._broken = 0
        self._failures = 0
        self._told: set[str] = set()
        self._held: list[Box] = [] if own is None else [own]
        #: Facts of dead processes that were forwarded.
        self.adopted = 0

    def ring(self) -> None:
        """There is something to do."""
        if not self._bell.is_set():
            self._bell.set()

    def stop(self) -> None:
        """End soon; what is not forwarded then is left to be adopted."""
        self._stopping.set()
        self._bell.set()

    def run(self) -> None:
        """Forward until stopped; at the end the own box is removed if it is empty, else left."""
        forwarder = None if self._own is None else Forwarder(self._own, settle=self._settled, reject=self._reject, ring=self.ring)
        try:
            self._adopt(GRACE_SECONDS)
            while forwarder is not None and not self._stopping.is_set():
                self._forward(forwarder, until=monotonic() + LOOK_SECONDS)
                broken = self._broken
                self._adopt(0.0)
                if broken != self._broken:
                    forwarder.restart()  # what was on its way went with the writer
        except Exception:
            logger.exception("The outbox %s stopped: this is a bug, please report it. Nothing is lost: restart the process", self._folder)
        finally:
            self._end(forwarder)

    def after_fork_in_child(self) -> None:
        """All this is the parent's."""
        for box in self._held:
            box.after_fork_in_child()

    def _forward(self, forwarder: Forwarder, *, until: float | None) -> bool:
        """Forward a box until the time, or (None) to its end; whether that came."""
        while not self._stopping.is_set():
            self._bell.clear()
            try:
                moved = forwarder.pump(self._opened)
            except OSError as error:
                if until is None:
                    raise  # a box of another process, which is not to hold up ours
                forwarder.failure = error
                moved = False
            self._moved()
            if forwarder.failure is not None:
                self._fail(forwarder.failure)
                forwarder.restart()
            elif until is None and forwarder.idle and not moved:
                return True
            elif until is not None and monotonic() >= until:
                return False
            elif not moved:
                if until is not None and forwarder.idle:
                    self._idle()
                self._bell.wait(None if until is None else max(0.0, until - monotonic()))
        return False

    def _opened(self) -> EventWriter:
        if self._writer is None:
            self._writer = self._log.writer()
        return self._writer

    def _fail(self, error: Exception) -> None:
        # Whatever the writer still holds it gives up, lest it come into the log late: it is sent again from the file.
        say = logger.warning if not self._failures else logger.debug
        say("%s takes no facts: %s. They wait in %s, and nothing is lost; trying again until it does", self._log.url, error, self._folder)
        self._shut()
        least, most = BACKOFF_SECONDS
        pause = min(most, least * 2 ** min(self._failures, 20)) * random.uniform(0.8, 1.0)  # noqa: S311 - not a secret
        self._failures += 1
        self._stopping.wait(pause)

    def _shut(self) -> None:
        writer, self._writer = self._writer, None
        self._broken += 1
        if writer is not None:
            writer.close()

    def _settled(self, number: int, outcome: Outcome) -> None:
        self._works(outcome)
        self._tell(number, outcome)

    def _works(self, outcome: Outcome) -> None:
        if self._failures and isinstance(outcome, Position):
            self._failures = 0
            logger.info("%s takes facts again", self._log.url)

    def _adopt(self, patience: float) -> None:
        try:
            if not self._others():
                return
            lock = self._adoption(monotonic() + patience)
            if lock is None:
                return
            try:
                for path in self._others():
                    if self._stopping.is_set():
                        return
                    self._adopt_one(path)
                self._tidy()
            finally:
                lock.release()
        except OSError as error:
            self._tell_once(str(self._folder), f"{self._folder} cannot be searched for facts of ended processes: {error}")

    def _adoption(self, deadline: float) -> FileLock | None:
        """The right to adopt, which one process has at a time, so that older facts come first."""
        while True:
            lock = FileLock.take_if_free(self._folder / "adopting")
            if lock is not None or monotonic() >= deadline or self._stopping.wait(0.05):
                return lock

    def _others(self) -> list[Path]:
        return [path for path in boxes(self._folder) if self._own is None or path != self._own.path]

    def _adopt_one(self, path: Path) -> None:
        try:
            box = Box.adopt(path)
        except (OSError, ValueError) as error:
            self._tell_once(path.name, f"{path} holds facts of an ended process, and cannot be opened: {error}")
            return
        if box is None:
            return
        if box.about.get("url") != self._log.url:
            box.leave()
            url = box.about.get("url")
            self._tell_once(path.name, f"{path} holds facts for {url}: run `eventresults outbox flush` with that --url")
            return
        self._held.append(box)
        forwarded = 0

        def settled(_: int, outcome: Outcome) -> None:
            nonlocal forwarded
            forwarded += 1
            self._works(outcome)

        done = False
        try:
            done = self._forward(Forwarder(box, settle=settled, reject=self._reject, ring=self.ring), until=None)
        except OSError as error:
            self._tell_once(path.name, f"{path} holds facts of an ended process, and cannot be read: {error}. They stay there")
        finally:
            self._held.remove(box)
            self.adopted += forwarded
            if done:
                box.remove()
                logger.info("%d facts of an ended process were forwarded from %s", forwarded, path)
            else:
                box.leave()

    def _tidy(self) -> None:
        for path in half_made(self._folder):
            if time.time() - path.stat().st_mtime > _HALF_MADE_SECONDS and (lock := FileLock.take_if_free(path / "lock")):
                shutil.rmtree(path, ignore_errors=True)
                lock.release()

    def _tell_once(self, what: str, message: str) -> None:
        if what not in self._told:
            self._told.add(what)
            logger.error("%s", message)

    def _reject(self, frame: Frame, error: Exception) -> None:
        reject(self._folder, frame, error)

    def _end(self, forwarder: Forwarder | None) -> None:
        if self._own is not None and forwarder is not None:
            try:
                if self._is_done(forwarder):
                    self._own.remove()
                else:
                    self._shut()
                    self._is_done(forwarder)
                    self._own.leave()
            except OSError:
                logger.exception("%s could not be closed: it is adopted by the next recorder with this outbox", self._own.path)
            self._moved()
        self._shut()

    def _is_done(self, forwarder: Forwarder) -> bool:
        forwarder.restart()
        forwarder.pump(_nobody)
        return forwarder.idle


def reject(folder: Path, frame: Frame, error: Exception) -> None:
    """Keep a fact that no log will take, with the reason, for a person to look at. Raises OSError."""
    row = {"time": time.time(), "error": type(error).__name__, "reason": str(error)}
    for name, data in (("key", frame.key), ("value", frame.value)):
        try:
            row[name] = data.decode()
        except UnicodeDecodeError:
            row[f"{name}_base64"] = base64.b64encode(data).decode()
    line = json.dumps(row).encode() + b"\n"
    descriptor = os.open(folder / REJECTED, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
    logger.error("A fact of %s can never be forwarded, and was set aside in %s: %s", row.get("key", "?"), folder / REJECTED, error)


def _nobody() -> EventWriter:
    raise OSError("closing")
