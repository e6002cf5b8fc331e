"""Handing records over to librdkafka in bunches while others are on their way.

With nothing to linger for, the library's thread is woken by every record, sends what little it finds, and goes on looking as long as
requests are under way: that costs more than all else. When it lingers, a lone record waits for more than a millisecond. So a record is
handed over at once where nothing is on its way, and else together with all that come until the next acknowledgement.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from eventresults.log.appends import Append

#: So many are handed over without waiting for an acknowledgement.
BUNCH = 1000


class Bunches:
    """The way into one producer. Any thread; records keep the order in which they are added.

    What became of each is told once to `delivered(self, future, error, message)`, which is to return at once: by the library, on the thread
    that polls the producer, and then it is to count `acknowledged`; or without a message, under a lock, if the library did not take it.
    """

    def __init__(self, producer: Any, topic: str, *, delivered: Callable[[Bunches, Append, Any, Any], None]) -> None:
        self.producer = producer
        self._topic = topic
        self._delivered = delivered
        self._waiting: list[tuple[Append, bytes]] = []
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
            bunch = self._waiting[:]  # others may come meanwhile
            if not bunch:
                return
            # Made here, for what lives shortly costs the garbage collector nothing.
            messages = [{"key": future.key, "value": value, "callback": partial(self._delivered, self, future)} for future, value in bunch]
            taken = self.producer.produce_batch(self._topic, messages)
            self._handed_over += taken
            del self._waiting[: len(bunch)]  # until then they stay there, if this is interrupted
            if taken < len(bunch):
                for (future, _), message in zip(bunch, messages, strict=True):
                    if "_error" in message:
                        self._delivered(self, future, message["_error"], None)
