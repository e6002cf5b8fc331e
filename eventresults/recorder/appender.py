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

logger = logging.getLogger(__name__)

#: The fold knows the last 64 event ids of a life: with at most this many unacknowledged, our own repetitions always fall inside.
UNACKNOWLEDGED_PER_TASK = 32


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
        self._forget_exit: Callable[[], None] = lambda: None
        self._closed = False
        self.own = OwnWrites()
        tell_of_forks(self)

    def append(self, subject: str, kind: str, fields: Mapping[str, Any]) -> Append:
        """Hand over one fact of already wire-valued fields, and return the future of its position.

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
        return self._hand_over(subject, key, value)

    def _hand_over(self, subject: str, key: bytes, value: bytes) -> Append:
        writer = self._writer or self._open()
        own = self.own
        if not own.begin(subject, most=UNACKNOWLEDGED_PER_TASK, deadline=monotonic() + self._append_timeout):
            raise AppendTimeout(
                f"{UNACKNOWLEDGED_PER_TASK} facts of {subject[:64]!r} were still unacknowledged after {self._append_timeout:g} s: "
                "is the log reachable? Nothing was appended; try again.",
                task_id=subject,
                timeout=self._append_timeout,
            )
        try:
            future = writer.append(key, value)
        except BaseException:
            own.give_up(subject)
            raise
        own.add(subject, future)
        return future

    def flush(self, timeout: float) -> bool:
        """Wait until every fact is acknowledged or has failed; False when `timeout` seconds were not enough."""
        writer = self._writer
        return True if writer is None else writer.flush(timeout)

    def close(self) -> None:
        """Flush for at most 5 seconds, then give up what is left, and say so in the log. Idempotent."""
        with self._lock:
            self._closed = True
            writer, self._writer = self._writer, None
        if writer is not None:
            self._forget_exit()
            self._see_off(writer)

    def after_fork_in_child(self) -> None:
        """The writer, and what is on its way, are the parent's; this process opens its own."""
        self._lock = threading.Lock()
        self._writer = None
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

    def _open(self) -> EventWriter:
        with self._lock:
            if self._closed:
                raise Closed("This recorder is closed: open a new tracker with eventresults.connect().", what="recorder")
            if self._writer is None:
                self._writer = self._make_writer()
                self._forget_exit = _close_at_exit(self)
            return self._writer


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
