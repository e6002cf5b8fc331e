"""A topic as a log, by way of librdkafka."""

from __future__ import annotations

import os
from collections.abc import Mapping

from eventresults.log.base import EventReader, EventWriter
from eventresults.log.brokerlog import Asker, BrokerLog
from eventresults.log.confluent.asker import ConfluentAsker
from eventresults.log.confluent.membership import ConfluentMembership
from eventresults.log.confluent.reader import ConfluentReader
from eventresults.log.confluent.writer import ConfluentWriter
from eventresults.log.membership import GroupListener, GroupSettings, Membership


class ConfluentLog(BrokerLog):
    """A topic, reached by librdkafka, and by kafka-python in a process that was forked from one in which librdkafka had threads.

    One of those may have been looking up an address at that instant: the C library's lock for it (glibc's list of network interfaces) is
    held in the child then, for ever, and whichever thread of librdkafka connects there hangs, and who closes its client with it.
    """

    def writer(self) -> EventWriter:
        """See `Log.writer`."""
        self._check_open()
        if _threads.left_behind:
            from eventresults.log.kafka.writer import KafkaWriter  # noqa: PLC0415 - the other library is only needed here

            return KafkaWriter(self)
        return ConfluentWriter(self)

    def reader(self, positions: Mapping[int, int]) -> EventReader:
        """See `Log.reader`."""
        self._check_open()
        if _threads.left_behind:
            from eventresults.log.kafka.reader import KafkaReader  # noqa: PLC0415

            return KafkaReader(self, positions)
        return ConfluentReader(self, positions)

    def _enter(self, group: GroupSettings, listener: GroupListener) -> Membership:
        if _threads.left_behind:
            from eventresults.log.kafka.membership import KafkaMembership  # noqa: PLC0415
            from eventresults.log.kafka.reader import KafkaReader  # noqa: PLC0415

            return KafkaMembership(self, KafkaReader(self, {}), group, listener)
        return ConfluentMembership(self, ConfluentReader(self, {}), group, listener)

    def _connect(self, timeout: float) -> Asker:
        if _threads.left_behind:
            from eventresults.log.kafka.asker import KafkaAsker  # noqa: PLC0415

            return KafkaAsker(self.settings, timeout)
        _threads.here = True  # every other client comes after this one
        return ConfluentAsker(self.settings, timeout)


class _Threads:
    """Whether librdkafka has, or had, threads in this process, and in one that it was forked from."""

    here = False
    left_behind = False

    def forked(self) -> None:
        self.left_behind = self.left_behind or self.here


_threads = _Threads()
os.register_at_fork(after_in_child=_threads.forked)
