"""Forwarding one box into a log: every fact, and of one task one after the other.

A fact follows the one before it of the same task once that is acknowledged, so that no failure can turn them around; facts of
different tasks are on their way together. What a kill leaves unmarked is sent again: at most `WINDOW` facts, `PER_KEY` of one task.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from enum import Enum, auto
from itertools import takewhile

from eventresults.domain.position import Position
from eventresults.errors import EventCorrupt, ValueTooLarge
from eventresults.log.base import EventWriter
from eventresults.log.box import Box
from eventresults.log.box_files import Place
from eventresults.log.frames import Frame

WINDOW = 4_096
WINDOW_BYTES = 16 * 2**20
#: The fold knows a fact again among the last 64 of its task: so many may lie between the mark and what was sent last.
PER_KEY = 32
#: Errors of a fact itself: no log will ever take it.
HOPELESS = (ValueTooLarge, EventCorrupt)

Outcome = Position | Exception


class _Stage(Enum):
    WAITING = auto()
    READY = auto()
    SENT = auto()
    DONE = auto()


class _Entry:
    __slots__ = ("end", "frame", "outcome", "stage", "trial")

    def __init__(self, frame: Frame, end: Place) -> None:
        self.frame = frame
        self.end = end
        self.stage = _Stage.WAITING
        self.trial = 0
        self.outcome: Outcome | None = None


class Forwarder:
    """Forwards a box. For one thread; `ring` is called from any when there is something to `pump`.

    `settle(number, outcome)` is told what became of each fact, in the order of the box, once the mark is behind it; `reject(frame, error)`
    keeps what no log will take (it may raise OSError: the fact is tried again).
    """

    def __init__(
        self,
        box: Box,
        *,
        settle: Callable[[int, Outcome], None],
        reject: Callable[[Frame, Exception], None],
        ring: Callable[[], None],
    ) -> None:
        self._box = box
        self._settle = settle
        self._reject = reject
        self._ring = ring
        self._trial = 0
        self._single = False
        self._window: deque[_Entry] = deque()
        self._bytes = 0
        self._ready: deque[_Entry] = deque()
        self._lines: dict[bytes, deque[_Entry]] = {}
        #: Of each task, how many were sent and lie behind the mark.
        self._unmarked: dict[bytes, int] = {}
        self._answers: deque[tuple[_Entry, int, Future[Position]]] = deque()
        #: What went wrong; until `restart`, nothing more is sent.
        self.failure: Exception | None = None

    @property
    def idle(self) -> bool:
        """Whether everything that was read is settled."""
        return not self._window

    def pump(self, writer: Callable[[], EventWriter]) -> bool:
        """Do what can be done now without waiting; whether there may be more of it. Raises OSError."""
        moved = self._collect()
        moved |= self._advance()
        if self.failure is None:
            moved |= self._fill()
            moved |= self._send(writer)
        return moved

    def restart(self) -> None:
        """The writer is gone, with all that it had not acknowledged: send that again, the first fact alone until it is acknowledged."""
        self._collect()
        self._trial += 1
        self.failure = None
        self._single = True
        self._ready.clear()
        self._lines.clear()
        self._unmarked.clear()
        for entry in self._window:
            key = entry.frame.key
            if entry.stage is _Stage.DONE:
                self._unmarked[key] = self._unmarked.get(key, 0) + 1
            else:
                entry.stage = _Stage.WAITING
                self._lines.setdefault(key, deque()).append(entry)
        for line in self._lines.values():
            self._make_ready(line)

    def _fill(self) -> bool:
        moved = False
        while len(self._window) < WINDOW and self._bytes < WINDOW_BYTES:
            frame = self._box.next()
            if frame is None:
                if not self._window:
                    self._box.advance(self._box.at)
                break
            entry = _Entry(frame, self._box.at)
            self._window.append(entry)
            self._bytes += len(frame.value)
            line = self._lines.get(frame.key)
            if line is None:
                line = self._lines[frame.key] = deque()
            line.append(entry)
            if len(line) == 1:
                self._make_ready(line)
            moved = True
        return moved

    def _make_ready(self, line: deque[_Entry]) -> None:
        entry = line[0]
        if entry.stage is _Stage.WAITING and self._unmarked.get(entry.frame.key, 0) < PER_KEY:
            entry.stage = _Stage.READY
            self._ready.append(entry)

    def _send(self, writer: Callable[[], EventWriter]) -> bool:
        moved = False
        while self._ready and self.failure is None:
            if self._single and (self._window[0].stage is not _Stage.READY or moved):
                break
            entry = self._window[0] if self._single else self._ready.popleft()
            if self._single:
                self._ready.remove(entry)
            self._hand_over(entry, writer)
            moved = True
        return moved

    def _hand_over(self, entry: _Entry, writer: Callable[[], EventWriter]) -> None:
        frame, trial = entry.frame, self._trial
        entry.stage, entry.trial = _Stage.SENT, trial
        self._unmarked[frame.key] = self._unmarked.get(frame.key, 0) + 1
        try:
            future = writer().append(frame.key, frame.value)
        except HOPELESS as error:
            self._give_up(entry, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the fact waits in the file and is tried again
            self.failure = error
        else:

            def answered(future: Future[Position]) -> None:
                self._answers.append((entry, trial, future))
                self._ring()

            future.add_done_callback(answered)

    def _collect(self) -> bool:
        moved = False
        while self._answers:
            entry, trial, future = self._answers.popleft()
            if entry.stage is not _Stage.SENT or entry.trial != trial:
                continue
            moved = True
            error = future.exception()
            if error is None:
                self._done(entry, future.result())
            elif isinstance(error, HOPELESS):
                self._give_up(entry, error)
            else:
                self.failure = self.failure or _as_exception(error)
        return moved

    def _give_up(self, entry: _Entry, error: Exception) -> None:
        try:
            self._reject(entry.frame, error)
        except OSError as trouble:
            self.failure = trouble
        else:
            self._done(entry, error)

    def _done(self, entry: _Entry, outcome: Outcome) -> None:
        entry.stage, entry.outcome = _Stage.DONE, outcome
        self._single = False
        key = entry.frame.key
        line = self._lines[key]
        line.popleft()
        if line:
            self._make_ready(line)
        else:
            del self._lines[key]

    def _advance(self) -> bool:
        passed = list(takewhile(lambda entry: entry.stage is _Stage.DONE, self._window))
        if not passed:
            return False
        self._box.advance(passed[-1].end)
        for entry in passed:
            self._window.popleft()
            key = entry.frame.key
            self._bytes -= len(entry.frame.value)
            left = self._unmarked[key] = self._unmarked[key] - 1
            if not left:
                del self._unmarked[key]
            if line := self._lines.get(key):
                self._make_ready(line)
            assert entry.outcome is not None
            self._settle(entry.frame.number, entry.outcome)
        return True


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(repr(error))
