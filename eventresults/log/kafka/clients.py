"""Making kafka-python's clients, and what they raise in our words."""

from __future__ import annotations

import codecs
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import AuthorizationError, BrokerResponseError, IllegalStateError, KafkaError, KafkaTimeoutError

from eventresults.errors import Closed, LogError
from eventresults.log.brokers import NO_TOPIC, REFUSED, BrokerSettings, missing, refused, unreachable
from eventresults.log.kafka.config import connection_config, producer_config
from eventresults.log.kafka.refusals import hear_refusals

# Looking up an address imports this codec, the first time, on the library's thread: a process forked meanwhile could import it no more.
codecs.lookup("idna")


class meaning:  # noqa: N801 - reads as a statement
    """Turn what kafka-python raises into errors of ours."""

    def __init__(self, settings: BrokerSettings, timeout: float) -> None:
        self._settings = settings
        self._timeout = timeout

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, LogError) or not isinstance(error, (KafkaError, RuntimeError)):
            return
        if isinstance(error, RuntimeError) and "closed" not in str(error).lower():
            return
        code = code_of(error)
        if code in REFUSED or isinstance(error, AuthorizationError):
            raise refused(self._settings, text_of(error)) from error
        if code in NO_TOPIC:
            raise missing(self._settings) from error
        if isinstance(error, (RuntimeError, IllegalStateError)):
            raise Closed(f"the log {self._settings.url} was closed", what=self._settings.url) from error
        raise unreachable(self._settings, self._timeout, text_of(error)) from error


def code_of(error: BaseException) -> int | None:
    """The protocol's code of what a broker answered; None for an error of the client's own."""
    return error.errno if isinstance(error, BrokerResponseError) else None


def text_of(error: BaseException) -> str:
    """What it says, or else what it is."""
    return str(error) or type(error).__name__


def make_producer(settings: BrokerSettings, max_batch_bytes: int) -> Any:
    """A producer. Raises `LogUnavailable`, as the others do."""
    producer = _made(settings, KafkaProducer, settings.connect_timeout, producer_config(settings, max_batch_bytes))
    # Once it gives up a record that it had sent before, this library drops the producer's id, asks for no other, and sends nothing ever
    # again. A new epoch of the same id is what Java's client asks for then, and it also keeps the broker from taking what was given up.
    transactions = producer._transaction_manager  # noqa: SLF001
    transactions.reset_producer_id = transactions.bump_producer_id_and_epoch
    return producer


def make_consumer(settings: BrokerSettings, timeout: float, config: dict[str, Any]) -> Any:
    """A consumer."""
    return _made(settings, KafkaConsumer, timeout, config)


def close_producer(producer: Any, timeout: float) -> None:
    """Close it within the timeout, whatever it still holds."""
    try:
        producer.close(timeout=timeout)
    except KafkaTimeoutError:
        # Its flush waited for what we have given up already; now it need not wait.
        producer._sender.force_close()  # noqa: SLF001
        producer._closed = True  # noqa: SLF001


def make_admin(settings: BrokerSettings, timeout: float) -> Any:
    """An admin client."""
    return _made(settings, KafkaAdminClient, timeout, {"request_timeout_ms": int(max(0.001, timeout) * 1000)})


def _made(settings: BrokerSettings, client: Any, timeout: float, config: dict[str, Any]) -> Any:
    """Make a client. One whose constructor fails leaves its thread and its sockets behind: these are closed."""
    below: list[Any] = []

    def remember(**config: Any) -> Any:
        below.append(client.DEFAULT_CONFIG["kafka_client"](**config))
        hear_refusals(below[-1]._manager, REFUSED)  # noqa: SLF001
        return below[-1]

    with meaning(settings, timeout):
        try:
            return client(kafka_client=remember, **connection_config(settings, timeout), **config)
        except BaseException:
            for each in below:
                each.close()
            raise
