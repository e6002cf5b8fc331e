"""The way of facts into the log: one per process, shared by all its recorders."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from multiprocessing import util as multiprocessing_util
from time import monotonic
from typing import Any

from eventresults.codec.events import encode_checked
from eventresults.codec.ids import key_of
from eventresults.errors import AppendTimeout, Closed, ValueTooLarge
from eventresults.log.appends import Append
from eventresults.log.base import EventWriter, Log
from eventresults.log.forked import tell_of_forks
from eventresults.log.own import OwnWrites
from eventresults.recorder.opening import Opening

logger = logging.getLogger(__name__)

#: The fold knows the last 64 event ids of a life: with at most this many unacknowledged, our own repetitions always fall inside.
UNACKNOWLEDGED_PER_TASK = 32
#: What waits for a log to be opened at the end is waited for as long.
CLOSE_SECONDS = 5.0


class Appender:
    """Appends facts to a log and remembers them as this process's own writes. Any thread; opens the log at the first fact.

    `append_timeout` (seconds) bounds how long a full buffer may block; `max_value_bytes` how large one fact may be. What is on its
    way when the interpreter exits, or a multiprocessing child ends, is seen off for at most 5 seconds.
    """

    def __init__(self, log: Log, *, append_timeout: float = 10.0, max_value_bytes: int = 8 * 1024 * 1024) -> None:
        self._log = log
        self._append_timeout = append_timeout
        self._max_value_bytes = max_value_bytes
        self._lock = threading.Lock()
        self._writer: EventWriter | None = None
        self._opening: Opening | None = None
        self._forget_exit: Callable[[], None] = lambda: None
        self._closed = False
        self.own = OwnWrites()
        tell_of_forks(self)

    def append(self, subject: str, kind: str, fields: Mapping[str, Any], *, timeout: float | None = None) -> Append:
        """Hand over one fact of already wire-valued fields, and return the future of its position.

        `timeout` (seconds; None: the append timeout) bounds how long this may block. With one, a log that is not open yet is opened
        meanwhile, and what keeps it from that is raised by the future.

        Raises `InvalidTaskId`, `EventCorrupt` (a field of the wrong type), `ValueTooLarge`, `AppendTimeout` (32 facts of this id stayed
        unacknowledged), `Closed`; the future may raise any `LogError`.
        """
        key = key_of(subject)
        value = encode_checked(kind, fields)
        if len(value) > self._max_value_bytes:
            raise ValueTooLarge(
                f"The {kind} fact of {subject[:64]!r} takes {len(value):,} bytes, over max_value_bytes ({self._max_value_bytes:,}): "
                "store the value elsewhere and record a reference to it, or raise max_value_bytes (and the topic's max.message.bytes).",
                size=len(value),
                limit=self._max_value_bytes,
                task_id=subject,
            )
        return self._hand_over(subject, key, value, timeout)

    def _hand_over(self, subject: str, key: bytes, value: bytes, timeout: float | None) -> Append:
        opening = self._opening or self._open()
        wait = self._append_timeout if timeout is None else timeout
        future = Append()
        if not self.own.enter(subject, future, most=UNACKNOWLEDGED_PER_TASK, timeout=wait):
            raise AppendTimeout(
                f"{UNACKNOWLEDGED_PER_TASK} facts of {subject[:64]!r} were still unacknowledged after {wait:g} s: "
                "is the log reachable? Nothing was appended; try again.",
                task_id=subject,
                timeout=wait,
            )
        try:
            opening.append(key, value, timeout, future)
        except BaseException as error:
            future.settle(error)
            self.own.give_up(subject)
            raise
        return future

    def open_soon(self) -> None:
        """Have the log opened meanwhile, so that the first fact need not wait for that. Raises `Closed`."""
        (self._opening or self._open()).begin()

    def flush(self, timeout: float) -> bool:
        """Wait until every fact is acknowledged or has failed; False when `timeout` seconds were not enough."""
        opening, writer = self._opening, self._writer
        if opening is None or writer is None:
            return True
        deadline = monotonic() + timeout
        return opening.wait(timeout) and writer.flush(max(deadline - monotonic(), 0.0))

    def close(self) -> None:
        """Flush for at most 5 seconds, then give up what is left, and say so in the log. Idempotent."""
        with self._lock:
            self._closed = True
            writer, self._writer = self._writer, None
            opening, self._opening = self._opening, None
        if writer is not None and opening is not None:
            self._forget_exit()
            opening.wait(CLOSE_SECONDS)
            self._see_off(writer)

    def after_fork_in_child(self) -> None:
        """The writer, and what is on its way, are the parent's; this process opens its own."""
        self._lock = threading.Lock()
        self._writer = None
        self._opening = None
        self._forget_exit = lambda: None
        self.own.restart()

    def _see_off(self, writer: EventWriter) -> None:
        pending = self.own.all_pending()
        writer.close()
        lost = sum(1 for future in pending if not future.done() or isinstance(future.exception(), Closed | AppendTimeout))
        if lost:
            logger.error("%d facts were not acknowledged by %s before the end, and may be lost: is it reachable?", lost, self._log.url)

    def _make_writer(self) -> EventWriter:
        return self._log.writer()

    def _open(self) -> Opening:
        with self._lock:
            if self._closed:
                raise Closed("This recorder is closed: open a new tracker with eventresults.connect().", what="recorder")
            if self._opening is None:
                self._writer = self._make_writer()
                self._opening = Opening(self._writer, patience=self._append_timeout)
                self._forget_exit = _close_at_exit(self)
            return self._opening


def _close_at_exit(appender: Appender) -> Callable[[], None]:
    """See off what is in flight at interpreter exit, and at the end of a multiprocessing child (which runs no atexit).

    Returns what takes this back.
    """
    reference = weakref.ref(appender)
    pid = os.getpid()

    def close() -> None:
        alive = reference()
        if alive is not None and os.getpid() == pid:
            alive.close()

    atexit.register(close)
    finalizer = multiprocessing_util.Finalize(None, close, exitpriority=10)

    def forget() -> None:
        atexit.unregister(close)
        finalizer.cancel()

    return forget
