"""Handing records over to librdkafka in bunches while others are on their way.

With nothing to linger for, the library's thread is woken by every record, sends what little it finds, and goes on looking as long as
requests are under way: that costs more than all else. When it lingers, a lone record waits for more than a millisecond. So a record is
handed over at once where nothing is on its way, and else together with all that come until the next acknowledgement.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import KafkaException

from eventresults.log.appends import Append

#: So many are handed over without waiting for an acknowledgement.
BUNCH = 1000


class Bunches:
    """The way into one producer. Any thread; records keep the order in which they are added.

    The library calls `delivered(self, future, error, message)`, which is to count `acknowledged`. What it does not take is told to
    `refused(future, value, error)`, under a lock.
    """

    def __init__(
        self,
        producer: Any,
        topic: str,
        *,
        delivered: Callable[[Bunches, Append, Any, Any], None],
        refused: Callable[[Append, bytes, Exception], None],
    ) -> None:
        self.producer = producer
        self._topic = topic
        self._delivered = delivered
        self._refused = refused
        self._waiting: deque[tuple[Append, bytes]] = deque()
        self._lock = threading.Lock()
        self._handed_over = 0
        #: By the one thread that polls the producer.
        self.acknowledged = 0

    def add(self, future: Append, value: bytes) -> None:
        """A record of `future.key`: now, with others at the next acknowledgement, or when they are enough."""
        self._waiting.append((future, value))
        # First added, then looked: who counts the last acknowledgement hands over afterwards.
        if self._handed_over == self.acknowledged or len(self._waiting) >= BUNCH:
            self.hand_over()

    def hand_over(self) -> None:
        """Hand over all that wait."""
        with self._lock:
            while self._waiting:
                future, value = self._waiting[0]  # and there it stays if this is interrupted
                try:
                    self.producer.produce(self._topic, value, future.key, on_delivery=partial(self._delivered, self, future))
                except (BufferError, KafkaException) as error:
                    self._refused(future, value, error)
                else:
                    self._handed_over += 1
                self._waiting.popleft()
