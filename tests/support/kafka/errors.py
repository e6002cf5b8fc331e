"""What can go wrong with the harness itself.

KafkaHarnessError
├── KafkaNotInstallableError    no Java, no Maven, or Maven could not fetch the jars
└── KafkaStartError             a broker did not start, or ended by itself
"""

from __future__ import annotations


class KafkaHarnessError(Exception):
    """The harness could not do its work; the code under test is not to blame."""


class KafkaNotInstallableError(KafkaHarnessError):
    """Kafka cannot be had on this machine. The message names the cure."""


class KafkaStartError(KafkaHarnessError):
    """A broker did not become ready. `node` is its index, `log_tail` the last lines of its log."""

    def __init__(self, node: int, reason: str, log_tail: str) -> None:
        super().__init__(node, reason, log_tail)
        self.node = node
        self.reason = reason
        self.log_tail = log_tail

    def __str__(self) -> str:
        return f"Kafka broker {self.node} {self.reason}. Its log ends with:\n{self.log_tail}"
