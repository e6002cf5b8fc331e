"""May this machine run Kafka, and what follows for a test if not."""

from __future__ import annotations

import functools
import os

import pytest

from tests.support.kafka.errors import KafkaNotInstallableError
from tests.support.kafka.runtime import install

_FALSE = {"", "0", "false", "no", "off"}


@functools.cache
def kafka_unavailable_reason() -> str | None:
    """Return None if Kafka can be run, else why not and what to do. Fetches the jars on first use; asks once only."""
    try:
        install()
    except KafkaNotInstallableError as error:
        return str(error)
    return None


def require_kafka() -> None:
    """Return if Kafka can be run; else skip the running test, or fail it where $CI is set to a true value.

    On a developer's machine Kafka is a courtesy. In CI, a test that is quietly skipped is one nobody runs.
    """
    reason = kafka_unavailable_reason()
    if reason is None:
        return
    if os.environ.get("CI", "").strip().lower() not in _FALSE:
        pytest.fail(f"CI must have a real Kafka: {reason}", pytrace=False)
    pytest.skip(f"no real Kafka here: {reason}")
