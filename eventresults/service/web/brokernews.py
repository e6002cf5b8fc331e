"""What the client libraries say of brokers, in as many lines as there is news.

Where a broker goes away kafka-python logs four lines at ERROR, one of them with a traceback of its own loop, for every connection, and
four for every attempt to reach it again: a hundred a minute. librdkafka logs two for each of the clients in a process.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from time import monotonic
from typing import Final

KAFKA_PYTHON: Final = "kafka."
#: librdkafka logs under the names of the files that make its clients.
LIBRDKAFKA: Final = "eventresults.log.confluent."
#: A broker that stays away is told of again after this long.
AGAIN_SECONDS: Final = 60.0

_LOST = re.compile(r"KafkaConnectionError|RequestTimedOutError|disconnected|Cancelled|Connect to ipv[46]#")
#: The one line of several that says which broker it was.
_BROKER = re.compile(r"node_id=(?:coordinator-)?(\d+) .*Connection lost|Connect to ipv[46]#(\S+) failed")


class BrokerNews(logging.Filter):
    """Lets one line a minute through for each broker that cannot be reached, and whatever else the libraries say.

    What a broker answered comes as the field `error`, without a traceback; a defect keeps its own.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown; one that is may be changed."""
        if not record.name.startswith((KAFKA_PYTHON, LIBRDKAFKA)):
            return True
        message = record.getMessage()
        error = record.exc_info[1] if record.exc_info and record.name.startswith(KAFKA_PYTHON) else None
        if isinstance(error, OSError) or _LOST.search(message):
            return self._is_news(message)
        if type(error).__module__ == "kafka.errors":
            record.exc_info = None
            record.__dict__["error"] = str(error)
        return True

    def _is_news(self, message: str) -> bool:
        found = _BROKER.search(message)
        if found is None:
            return False
        broker, now = found[1] or found[2], self._clock()
        if now - self._told.get(broker, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return False
        self._told[broker] = now
        return True
