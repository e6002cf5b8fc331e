"""What librdkafka's errors mean."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError

from eventresults.errors import LogError
from eventresults.log.brokers import NO_TOPIC, OUT_OF_RANGE, REFUSED, BrokerSettings, missing, refused, unreachable

MISSING = NO_TOPIC | {KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}  # noqa: SLF001 - its public names
REFUSALS = REFUSED | {KafkaError._AUTHENTICATION}  # noqa: SLF001
OUTSIDE = frozenset({OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION})  # noqa: SLF001
END = KafkaError._PARTITION_EOF  # noqa: SLF001


def meaning(settings: BrokerSettings, error: Any, timeout: float) -> LogError:
    """The error of ours for one of the library's."""
    if error.code() in REFUSALS:
        return refused(settings, error.str())
    if error.code() in MISSING:
        return missing(settings)
    return unreachable(settings, timeout, error.str())
