"""Log records on stderr, safe to print."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from eventresults.cli.terminal import say

#: Client libraries tell of every connection they try again; what matters of that reaches the user as an error of ours.
CHATTY = ("kafka", "confluent_kafka", "eventresults.log.kafka", "eventresults.log.confluent")

_ours = logging.getLogger("eventresults")


class StderrHandler(logging.Handler):
    """Prints records so that they cannot move the cursor, whatever a task's name or an exception's text holds."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        if self.level > logging.INFO and record.name.startswith(CHATTY):
            return
        say(self.format(record))


_handler = StderrHandler()
_handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))


@contextmanager
def logging_to_stderr() -> Iterator[None]:
    """For the time of one command, print warnings and worse; `set_log_level` changes that."""
    before = _ours.level
    logging.getLogger().addHandler(_handler)
    set_log_level("WARNING")
    try:
        yield
    finally:
        logging.getLogger().removeHandler(_handler)
        _ours.setLevel(before)


def set_log_level(level: str) -> None:
    """Print records of this level and above."""
    _handler.setLevel(level)
    _ours.setLevel(level)
