"""Our settings in librdkafka's words."""

from __future__ import annotations

from typing import Any

from eventresults.log.brokers import BATCH_BYTES, FETCH_BYTES, MAX_POLL_INTERVAL, BrokerSettings
from eventresults.log.membership import GroupSettings

_REQUEST_TIMEOUT = 10.0
_PARTITION_FETCH_BYTES = 8 * 1024 * 1024


def connection_config(settings: BrokerSettings) -> dict[str, Any]:
    """What every client needs to reach the brokers."""
    config = {
        "bootstrap.servers": ",".join(settings.addresses),
        "client.id": settings.client_id,
        "security.protocol": settings.protocol,
        "sasl.mechanism": settings.mechanism,
        "sasl.username": settings.sasl_username,
        "sasl.password": settings.sasl_password,
        "ssl.ca.location": settings.ssl_cafile,
        "ssl.certificate.location": settings.ssl_certfile,
        "ssl.key.location": settings.ssl_keyfile,
        "ssl.key.password": settings.ssl_password,
        "ssl.endpoint.identification.algorithm": "https" if settings.ssl_check_hostname else "none",
        "reconnect.backoff.max.ms": 1000,
    }
    return {name: value for name, value in config.items() if value is not None}


def producer_config(settings: BrokerSettings, max_batch_bytes: int) -> dict[str, Any]:
    """An idempotent producer that partitions as Java does; a batch is never larger than the topic takes."""
    kbytes = 2 * (settings.max_in_flight_bytes + settings.max_value_bytes) // 1024 + 1024
    return {
        **connection_config(settings),
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2",
        "compression.type": settings.compression,
        "linger.ms": settings.linger * 1000,
        "batch.size": min(BATCH_BYTES, max_batch_bytes - 512),
        "message.max.bytes": settings.max_value_bytes + 64 * 1024,
        "message.timeout.ms": int(settings.append_timeout * 1000),
        "request.timeout.ms": int(min(_REQUEST_TIMEOUT, settings.append_timeout / 2) * 1000),
        # Our own bound comes first: it can be waited for.
        "queue.buffering.max.messages": settings.max_in_flight + 1000,
        "queue.buffering.max.kbytes": min(2**31 - 1, kbytes),
    }


def consumer_config(settings: BrokerSettings) -> dict[str, Any]:
    """A consumer without a group that reads much at once, and a lone record at once."""
    return {
        **connection_config(settings),
        "group.id": settings.client_id,  # asked for by the library; without a subscription nobody joins it
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "allow.auto.create.topics": False,
        "fetch.max.bytes": FETCH_BYTES,
        "fetch.message.max.bytes": _PARTITION_FETCH_BYTES,
        "fetch.queue.backoff.ms": 10,
        "queued.max.messages.kbytes": 2 * FETCH_BYTES // 1024,
    }


def probe_config(settings: BrokerSettings) -> dict[str, Any]:
    """A consumer that reads little ahead."""
    return consumer_config(settings) | {"queued.min.messages": 1, "fetch.message.max.bytes": 64 * 1024}


def member_config(settings: BrokerSettings, group: GroupSettings) -> dict[str, Any]:
    """A consumer that sits in a group, and reads nothing."""
    config = probe_config(settings) | {
        "group.id": group.group_id,
        "group.protocol": "classic",  # the other client knows no other
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": int(group.session_timeout * 1000),
        "heartbeat.interval.ms": int(group.heartbeat_interval * 1000),
        "max.poll.interval.ms": int(max(MAX_POLL_INTERVAL, group.session_timeout) * 1000),
        "enable.partition.eof": False,
        "auto.offset.reset": "latest",
    }
    instance = group.group_instance_id
    return config if instance is None else config | {"group.instance.id": instance}
