"""What a consumer group says of its members, asked by way of kafka-python whichever client the log has.

librdkafka ends the whole process by an assertion when a question to a group is not answered within its time (`rd_kafka_enq_once`, 2.16.1),
and a client of it that has asked once finds no coordinator that was started anew.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final, TypeVar

from kafka.errors import RetriableError, for_code

from eventresults.log.brokers import BrokerSettings
from eventresults.log.kafka.clients import make_admin, meaning
from eventresults.log.membership import Holding

T = TypeVar("T")

PAUSE_SECONDS: Final = 0.05
_ERROR = re.compile(r"\[Error (-?\d+)\]")


def holdings(settings: BrokerSettings, group_id: str, timeout: float) -> list[Holding]:
    """See `Asker.holdings`."""

    def ask(admin: Any) -> list[Holding]:
        group = admin.describe_groups([group_id])[group_id]
        error = _ERROR.match(group["error"] or "")
        if error is not None and group["group_state"] != "Dead":
            raise for_code(int(error[1]))(group_id)
        if group["group_state"] != "Stable" or group["protocol_type"] != "consumer":
            return []
        return [
            Holding(member["client_id"], topic["topic"], tuple(topic["partitions"]))
            for member in group["members"]
            for topic in (member["member_assignment"] or {}).get("assigned_partitions", ())
        ]

    return administer(settings, ask, timeout)


def administer(settings: BrokerSettings, ask: Callable[[Any], T], timeout: float) -> T:
    """Ask an admin client that lives as long as the question, again while a broker asks for patience."""
    deadline = time.monotonic() + timeout
    with meaning(settings, timeout), closing(make_admin(settings, timeout)) as admin:
        while True:
            try:
                return ask(admin)
            except RetriableError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(PAUSE_SECONDS)
