"""An outbox: facts go into a file first, always, and from the file into the log. So recording does not need the log.

What it promises. A fact is *accepted* once `append` has returned: it is in a file, and survives kill -9 of this process; it reaches the log
by this process, or by the next one with the same outbox and log (a power cut may lose the last seconds: the system keeps the file,
nothing is fsynced). It is *done* once the log has it. Facts of one task reach the log in their order. A kill in mid-forwarding may put
facts into the log twice, no more than 32 of one task: the fold knows them by their event id.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any
from weakref import WeakValueDictionary

from eventresults.domain.position import Position
from eventresults.errors import AppendTimeout, Closed, EventCorrupt, LogUnavailable
from eventresults.log.appends import Append
from eventresults.log.base import Log
from eventresults.log.bounds import DEFAULT_APPEND_TIMEOUT, DEFAULT_MAX_VALUE_BYTES, check_size
from eventresults.log.box import Box
from eventresults.log.dispatcher import Dispatcher
from eventresults.log.forked import tell_of_forks
from eventresults.log.forwarder import Outcome
from eventresults.log.frames import framed

logger = logging.getLogger(__name__)

DEFAULT_MAX_BYTES = 2**30

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LOOK = 0.25  # seconds after which a full disk is tried again
_CLOSE_TIMEOUT = 5.0
_WIND_UP = 0.5  # of which so many are for ending the thread


class Outbox:
    """Makes writers that go through files in `folder`, which many processes may share, and logs too: a file knows its log.

    `max_bytes` is what one writer may have waiting; when it is full, or the disk is, `append` blocks for `append_timeout` seconds.
    """

    def __init__(
        self,
        log: Log,
        folder: str | os.PathLike[str],
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        max_value_bytes: int = DEFAULT_MAX_VALUE_BYTES,
        append_timeout: float = DEFAULT_APPEND_TIMEOUT,
    ) -> None:
        self.log = log
        self.folder = Path(folder).absolute()
        self.max_bytes = max_bytes
        self.max_value_bytes = max_value_bytes
        self.append_timeout = append_timeout

    @property
    def url(self) -> str:
        """The log's."""
        return self.log.url

    def writer(self) -> OutboxWriter:
        """A new writer, to be closed by the caller. Opens nothing yet."""
        return OutboxWriter(self)


class Forwarded(Append):
    """The future of a fact in an outbox: done once the log has it, or never will. `accepted` is done from the beginning.

    The outbox does not keep it alive, unless it has a callback: hours of outage make many.
    """

    def __init__(self, keep: Callable[[Forwarded], None]) -> None:
        super().__init__()
        self._keep = keep

    @property
    def accepted(self) -> Future[Any]:
        """Done: the fact is in the file."""
        return _ACCEPTED

    def add_done_callback(self, fn: Callable[[Future[Position]], object]) -> None:
        """Call `fn(self)` once it is done, or now if it is."""
        self._keep(self)
        super().add_done_callback(fn)


class OutboxWriter:
    """An `EventWriter` whose `append` returns once the fact is in this process's file."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._changed = threading.Condition(threading.Lock())
        self._watched = 0
        self._box: Box | None = None
        self._dispatcher: Dispatcher | None = None
        self._thread: threading.Thread | None = None
        self._number = 0
        self._settled = 0
        self._room = 0
        self._closed = False
        self._futures: WeakValueDictionary[int, Forwarded] = WeakValueDictionary()
        self._kept: dict[int, Forwarded] = {}
        #: Per partition, the highest offset of the facts that are in the log.
        self._reached: dict[int, int] = {}
        tell_of_forks(self)

    @property
    def waiting(self) -> int:
        """How many facts are accepted and not yet in the log."""
        return self._number - self._settled

    def reached(self) -> Mapping[int, int]:
        """Per partition, the highest offset that a fact of this writer was given."""
        return dict(self._reached)

    def open(self) -> None:
        """See `EventWriter.open`; here, that is the file."""
        with self._changed:
            if self._box is None and not self._closed:
                self._open()

    def append(self, key: bytes, value: bytes, timeout: float | None = None, future: Append | None = None) -> Append:
        """Write one fact into the file, and return the future of its position. As `EventWriter.append`; a `future` of the caller's is kept
        until it is done, one of ours only while somebody has it.

        What this raises was not accepted, and nothing of it is in the file: `ValueTooLarge`, `AppendTimeout` (the outbox, or the disk,
        stayed full), `LogUnavailable` (the folder cannot be written), `Closed`. The future raises only what can never succeed, after the
        fact was set aside (`ValueTooLarge` by the log's own limit, `EventCorrupt`), and `Closed` where `close` left it to the next process.
        """
        outbox = self._outbox
        check_size(key, value, outbox.max_value_bytes)
        deadline = monotonic() + (outbox.append_timeout if timeout is None else timeout)
        with self._changed:
            while True:
                if self._closed:
                    raise Closed("this writer was closed: make a new one", what=outbox.url)
                box = self._box or self._open()
                number = self._number
                data = framed(number, key, value)
                if len(data) > self._room:
                    self._room = outbox.max_bytes - box.waiting()
                if len(data) > self._room and self.waiting:
                    self._wait(deadline, key, f"{self.waiting:,} facts wait in it for {outbox.url}, and outbox_max_bytes allows no more")
                    continue
                forwarded = Forwarded(self._keep)
                forwarded.number, forwarded.size = number, len(data)
                self._futures[number] = forwarded  # first: once it is written, it may be forwarded at any instant
                try:
                    box.write(data)
                except OSError as error:
                    del self._futures[number]
                    if error.errno not in _FULL:
                        raise self._unwritable(error) from error
                    self._wait(deadline, key, f"its disk is full ({error.strerror})")
                    continue
                self._room -= len(data)
                self._number = number + 1
                break
        assert self._dispatcher is not None
        if future is not None:
            forwarded.add_done_callback(partial(_pass_on, future))
        self._dispatcher.ring()
        return forwarded if future is None else future

    def flush(self, timeout: float) -> bool:
        """Wait until the log has everything accepted so far; False when `timeout` seconds were not enough."""
        with self._changed:
            last = self._number
            return self._until(lambda: self._settled >= last, timeout)

    def close(self) -> None:
        """Flush for at most 5 seconds, then leave the file, with all that is in it, to the next process. Idempotent."""
        deadline = monotonic() + _CLOSE_TIMEOUT
        with self._changed:
            already, self._closed = self._closed, True
            self._changed.notify_all()
        box, dispatcher, thread = self._box, self._dispatcher, self._thread
        if already or box is None or dispatcher is None or thread is None:
            return
        self.flush(_CLOSE_TIMEOUT - _WIND_UP)
        dispatcher.stop()
        if thread is not threading.current_thread():
            thread.join(max(0.1, deadline - monotonic()))
        if self.waiting:
            message = (
                f"{self.waiting:,} facts for {self._outbox.url} wait in {box.path}: they are forwarded by the next recorder with this "
                "outbox, or by `eventresults outbox flush`."
            )
            logger.warning(message)
            left = list(self._futures.values())
            self._kept.clear()
            for future in left:
                future.settle(Closed(message, what="outbox"))

    def after_fork_in_child(self) -> None:
        """The file and the thread are the parent's: this writer is closed here."""
        if self._dispatcher is not None:
            self._dispatcher.after_fork_in_child()
        self._changed = threading.Condition(threading.Lock())
        self._closed = True
        self._box = self._dispatcher = self._thread = None
        self._number = self._settled = 0

    def _open(self) -> Box:
        try:
            box = Box.create(self._outbox.folder, self._outbox.url)
        except OSError as error:
            raise self._unwritable(error) from error
        dispatcher = Dispatcher(self._outbox.log, self._outbox.folder, box, settle=self._settle, moved=self._moved, idle=self._idle)
        # A daemon, because it may die at any instant: what it has not forwarded is in the file.
        thread = threading.Thread(target=dispatcher.run, name="eventresults-outbox", daemon=True)
        self._box, self._dispatcher, self._thread = box, dispatcher, thread
        thread.start()
        return box

    def _keep(self, future: Forwarded) -> None:
        self._kept[future.number] = future
        if future.number < self._settled:  # settled meanwhile, or about to be: either way somebody completes it
            self._kept.pop(future.number, None)

    def _settle(self, number: int, outcome: Outcome) -> None:
        self._skip_to(number)
        if isinstance(outcome, Position):
            self._reached[outcome.partition] = max(outcome.offset, self._reached.get(outcome.partition, -1))
        future = self._futures.pop(number, None)
        self._settled = number + 1
        self._kept.pop(number, None)
        if future is not None:
            future.settle(outcome)

    def _skip_to(self, number: int) -> None:
        for skipped in range(self._settled, number):
            self._settled = skipped + 1
            self._kept.pop(skipped, None)
            if (future := self._futures.pop(skipped, None)) is not None:
                future.settle(EventCorrupt("The file was damaged before this fact was forwarded: see the log.", reason="damaged"))

    def _idle(self) -> None:
        """The end of the box was reached; what was accepted and not found in it was damaged."""
        if self._settled < self._number:
            with self._changed:
                missing = self._box is not None and self._box.at == self._box.end
            if missing:
                self._skip_to(self._number)
                self._moved()

    def _moved(self) -> None:
        if self._watched:
            with self._changed:
                self._changed.notify_all()

    def _until(self, reached: Callable[[], bool], timeout: float) -> bool:
        self._watched += 1
        try:
            return self._changed.wait_for(reached, max(0.0, timeout))
        finally:
            self._watched -= 1

    def _wait(self, deadline: float, key: bytes, why: str) -> None:
        remaining = deadline - monotonic()
        if remaining <= 0:
            raise AppendTimeout(
                f"The outbox {self._outbox.folder} took nothing for {self._outbox.append_timeout:g} s: {why}. This fact was not accepted. "
                "See whether the log is reachable and the disk has room, then record it again.",
                key=key.decode("utf-8", "replace"),
                timeout=self._outbox.append_timeout,
            )
        before = self._settled
        self._until(lambda: self._settled != before or self._closed, min(remaining, _LOOK))

    def _unwritable(self, error: OSError) -> LogUnavailable:
        return LogUnavailable(
            f"The outbox {self._outbox.folder} cannot be written ({error.strerror or error}): nothing was accepted. See that this user may "
            "write there and the disk has room, or name another folder (outbox=…).",
            url=self._outbox.url,
            reason=str(error),
        )


_ACCEPTED: Future[Any] = Future()
_ACCEPTED.set_result(None)


def _pass_on(future: Append, forwarded: Future[Position]) -> None:
    assert isinstance(forwarded, Forwarded)
    assert forwarded.outcome is not None
    future.settle(forwarded.outcome)
