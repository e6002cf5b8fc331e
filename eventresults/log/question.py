"""Asking a log where it ends, for many at once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from time import monotonic

from eventresults.errors import LogUnavailable
from eventresults.log.base import Log


class Question:
    """Asks the log where its partitions end, for many readers at once. Any thread.

    Readers that arrive while a question is in flight share the *next* one, for only an end asked for after a read began makes the
    read linearizable. One of them asks for all of them, on its own thread and within its own deadline; when that fails, the others ask for
    themselves.
    """

    def __init__(self, log: Log, partitions: Sequence[int]) -> None:
        self._log = log
        self._partitions = partitions
        self._changed = threading.Condition()
        self._asking = False
        self._begun = 0
        self._answered = 0
        self._answer: Mapping[int, int] = {}

    def ask(self, deadline: float) -> Mapping[int, int]:
        """The ends of all partitions, asked for after this call began. Raises `LogError`, also at the monotonic deadline."""
        with self._changed:
            needed = self._begun + 1
            while self._asking and self._answered < needed:
                remaining = deadline - monotonic()
                if remaining <= 0 or not self._changed.wait(remaining):
                    raise LogUnavailable("The log did not answer in time: is it reachable?", url=self._log.url, reason="no answer in time")
            if self._answered >= needed:
                return self._answer
            self._asking = True
            self._begun += 1
            number = self._begun
        try:
            answer = self._log.ends(self._partitions, max(deadline - monotonic(), 0.001))
            with self._changed:
                self._answer, self._answered = answer, number
            return answer
        finally:
            with self._changed:
                self._asking = False
                self._changed.notify_all()
