"""A Kafka that somebody else runs."""

from __future__ import annotations

from typing import NoReturn

import pytest

from tests.support.kafka.base import Kafka


class BorrowedKafka(Kafka):
    """A running Kafka that is not ours to stop: whatever ends, freezes or starts a broker skips the test instead."""

    def __init__(self, bootstrap: str, *, because: str) -> None:
        """Use the brokers at `bootstrap` ("host:port,…"); `because` ends the sentence that a skipped test shows."""
        self._bootstrap = bootstrap
        self._because = because

    @property
    def bootstrap(self) -> str:
        return self._bootstrap

    def start(self) -> None:
        self._refuse()

    def stop(self) -> None:
        self._refuse()

    def restart(self) -> None:
        self._refuse()

    def kill(self, broker: int) -> None:
        self._refuse()

    def start_broker(self, broker: int) -> None:
        self._refuse()

    def pause(self, broker: int) -> None:
        self._refuse()

    def resume(self, broker: int) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        pytest.skip(f"the test ends or starts brokers, and this Kafka {self._because}")
