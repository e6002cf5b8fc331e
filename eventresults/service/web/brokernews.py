"""What kafka-python says of brokers, in as many lines as there is news.

Where a broker goes away it logs at ERROR, four lines and a traceback of its own loop for every connection, and four lines for every attempt
to reach it again: a hundred a minute.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from time import monotonic
from typing import Final

LIBRARY: Final = "kafka"
#: The one of its loggers that says which broker it was.
CONNECTION: Final = "kafka.net.connection"
#: A broker that stays away is told of again after this long.
AGAIN_SECONDS: Final = 60.0

_LOST = re.compile(r"KafkaConnectionError|RequestTimedOutError|disconnected|Cancelled")
_BROKER = re.compile(r"node_id=(?:[a-z]+-)?(\d+)")


class BrokerNews(logging.Filter):
    """Lets one line a minute through for each broker that cannot be reached, and whatever else the library says.

    What the network did or a broker answered comes as the field `error`, without a traceback; a defect keeps its own.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(LIBRARY)
        self._clock = clock
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown; one that is may be changed."""
        if not super().filter(record):
            return True  # not the library's
        message = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, OSError) or _LOST.search(message):
            return record.name == CONNECTION and self._is_news(message)
        if type(error).__module__ == "kafka.errors":
            record.exc_info = None
            record.__dict__["error"] = str(error)
        return True

    def _is_news(self, message: str) -> bool:
        found = _BROKER.search(message)
        broker, now = found[1] if found else "", self._clock()
        if now - self._told.get(broker, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return False
        self._told[broker] = now
        return True
