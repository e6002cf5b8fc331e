"""Our settings in kafka-python's words."""

from __future__ import annotations

from typing import Any

from eventresults.log.brokers import BATCH_BYTES, FETCH_BYTES, MAX_POLL_INTERVAL, POLL_RECORDS, BrokerSettings
from eventresults.log.membership import GroupSettings

_REQUEST_TIMEOUT = 10.0
#: About one poll of records. The library asks for more of a partition once it has given out all that it had: of a large answer the last
#: part is small, and folding that gives the next one no time to come.
_PARTITION_FETCH_BYTES = 2 * 1024 * 1024


def connection_config(settings: BrokerSettings, timeout: float) -> dict[str, Any]:
    """What every client needs to reach the brokers within `timeout` seconds."""
    return {
        "bootstrap_servers": settings.addresses,
        "client_id": settings.client_id,
        "security_protocol": settings.protocol,
        "sasl_mechanism": settings.mechanism,
        "sasl_plain_username": settings.sasl_username,
        "sasl_plain_password": settings.sasl_password,
        "ssl_cafile": settings.ssl_cafile,
        "ssl_certfile": settings.ssl_certfile,
        "ssl_keyfile": settings.ssl_keyfile,
        "ssl_password": settings.ssl_password,
        "ssl_check_hostname": settings.ssl_check_hostname,
        "bootstrap_timeout_ms": int(max(0.001, timeout) * 1000),
        "reconnect_backoff_max_ms": 1000,
    }


def producer_config(settings: BrokerSettings, max_batch_bytes: int) -> dict[str, Any]:
    """An idempotent producer; a batch is never larger than the topic takes."""
    return {
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": None if settings.compression == "none" else settings.compression,
        "linger_ms": settings.linger * 1000,
        "batch_size": min(BATCH_BYTES, max_batch_bytes - 512),
        "max_request_size": settings.max_value_bytes + 64 * 1024,
        "delivery_timeout_ms": int(settings.append_timeout * 1000),
        "request_timeout_ms": int(min(_REQUEST_TIMEOUT, settings.append_timeout / 2) * 1000),
        "max_block_ms": int(settings.connect_timeout * 1000),
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
    }


def consumer_config() -> dict[str, Any]:
    """A consumer without a group that reads much at once, and a lone record at once."""
    return {
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "max_poll_records": POLL_RECORDS,
        "fetch_max_bytes": FETCH_BYTES,
        "max_partition_fetch_bytes": _PARTITION_FETCH_BYTES,
        "fetch_min_bytes": 1,
        "request_timeout_ms": int(_REQUEST_TIMEOUT * 1000),
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
    }


def probe_config() -> dict[str, Any]:
    """A consumer that reads as little as brokers give: one batch."""
    return consumer_config() | {"max_partition_fetch_bytes": 1}


def member_config(group: GroupSettings) -> dict[str, Any]:
    """A consumer that sits in a group, and reads nothing."""
    return consumer_config() | {
        "group_id": group.group_id,
        "group_instance_id": group.group_instance_id,
        "session_timeout_ms": int(group.session_timeout * 1000),
        "heartbeat_interval_ms": int(group.heartbeat_interval * 1000),
        "max_poll_interval_ms": int(max(MAX_POLL_INTERVAL, group.session_timeout) * 1000),
        "max_partition_fetch_bytes": 1,
    }
