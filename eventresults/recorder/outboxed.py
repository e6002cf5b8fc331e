"""The way of facts into the log through an outbox."""

from __future__ import annotations

from eventresults.log.appends import Append
from eventresults.log.base import EventWriter
from eventresults.log.outbox import Outbox, OutboxWriter
from eventresults.recorder.appender import Appender

#: Facts that wait for the log are known by id, for reads of one's own writes, until they are so many; beyond, any read waits for all.
REMEMBERED = 10_000


class OutboxAppender(Appender):
    """Appends facts to a file first. A fact is accepted once `append` has returned, whether the log is there or not.

    So nothing here waits for the log: how many facts of one task may be unacknowledged is the forwarding's concern, and what waits
    is bounded by the outbox (`max_bytes`). What is left at the end stays in the file for the next recorder.
    """

    def __init__(self, outbox: Outbox) -> None:
        super().__init__(outbox.log, append_timeout=outbox.append_timeout, max_value_bytes=outbox.max_value_bytes)
        self._outbox = outbox

    def _make_writer(self) -> OutboxWriter:
        return self._outbox.writer()

    def _hand_over(self, subject: str, key: bytes, value: bytes, timeout: float | None) -> Append:
        if self._writer is None:
            self._open()
        writer = self._writer
        assert isinstance(writer, OutboxWriter)
        future = writer.append(key, value, timeout)
        if writer.waiting <= REMEMBERED:
            self.own.add_unbounded(subject, future)
        else:
            self.own.add_last(future.number, future, writer.reached)
        return future

    def _see_off(self, writer: EventWriter) -> None:
        writer.close()  # says itself what is left, and where
