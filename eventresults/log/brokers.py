"""What both Kafka clients share: the settings, and what the brokers' errors mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from eventresults.errors import AppendTimeout, LogError, LogUnavailable, TopicMisconfigured
from eventresults.log.bounds import (
    DEFAULT_APPEND_TIMEOUT,
    DEFAULT_MAX_IN_FLIGHT,
    DEFAULT_MAX_IN_FLIGHT_BYTES,
    DEFAULT_MAX_VALUE_BYTES,
    InFlight,
    too_large,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

POLL_RECORDS = 10_000
#: The largest batch on its way there. A small one is soon full, and while it waits kafka-python wakes its sender with every record that
#: follows (`python -m benchmarks --only append`).
BATCH_BYTES = 1_000_000
FETCH_BYTES = 32 * 1024 * 1024
MAX_POLL_INTERVAL = 60.0  # seconds; how long a group waits for each of its members when it divides the partitions anew

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """How to reach the brokers, and how much may be on its way to them. Times in seconds, sizes in bytes.

    - `servers`: `"host:port,host:port"` or a list of such; `topic`.
    - `security_protocol`, `sasl_mechanism`, `sasl_username`, `sasl_password`, `ssl_cafile`, `ssl_certfile`, `ssl_keyfile`,
      `ssl_password` (of the key file), `ssl_check_hostname`: as the Kafka clients take them. A username alone means SASL.
    - `connect_timeout`: for the first answer of a broker. `append_timeout`: how long `append` waits for room, and then the record
      for its acknowledgement.
    - `max_in_flight`, `max_in_flight_bytes`: for each writer. `max_value_bytes`: the largest value.
    - `compression`: none, gzip, snappy, lz4 or zstd. `linger`: how long a record may wait for company.
    - `create_topic`: make a missing topic at the first use, with `partitions` and `replication` (None: as the brokers have it).
    - `result_expires`: what the retention of a topic that we create must outlast; None or 0: for ever.
    """

    servers: str | Sequence[str]
    topic: str
    security_protocol: SecurityProtocol | None = None
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_password: str | None = field(default=None, repr=False)
    ssl_check_hostname: bool = True
    connect_timeout: float = 10.0
    append_timeout: float = DEFAULT_APPEND_TIMEOUT
    max_value_bytes: int = DEFAULT_MAX_VALUE_BYTES
    max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    max_in_flight_bytes: int = DEFAULT_MAX_IN_FLIGHT_BYTES
    compression: str = "none"
    linger: float = 0.0
    client_id: str = "eventresults"
    create_topic: bool = False
    partitions: int = 1
    replication: int | None = None
    result_expires: float | None = 86_400.0

    @property
    def addresses(self) -> list[str]:
        """The servers, one by one."""
        return self.servers.split(",") if isinstance(self.servers, str) else list(self.servers)

    @property
    def protocol(self) -> SecurityProtocol:
        """The security protocol in effect."""
        return self.security_protocol or ("SASL_PLAINTEXT" if self.sasl_username else "PLAINTEXT")

    @property
    def mechanism(self) -> str | None:
        """The SASL mechanism in effect."""
        return self.sasl_mechanism or ("PLAIN" if self.protocol.startswith("SASL") else None)

    @property
    def url(self) -> str:
        """Where it is, without the password."""
        login = f"{self.sasl_username}:***@" if self.sasl_username else ""
        return f"kafka://{login}{','.join(self.addresses)}/{self.topic}"

    def in_flight(self) -> InFlight:
        """The bound of one writer."""
        return InFlight(max_records=self.max_in_flight, max_bytes=self.max_in_flight_bytes, timeout=self.append_timeout, what=self.url)


def unreachable(settings: BrokerSettings, timeout: float, reason: object = "") -> LogUnavailable:
    """No broker answered in time."""
    detail = f" ({reason})" if str(reason) else ""
    return LogUnavailable(
        f"no broker of {', '.join(settings.addresses)} answered within {timeout:.3g} s{detail}: see whether they run, whether this machine "
        "reaches the addresses that they advertise, and whether security_protocol is theirs",
        url=settings.url,
        reason="unreachable",
    )


def refused(settings: BrokerSettings, reason: object) -> LogUnavailable:
    """The brokers do not let us in."""
    who = settings.sasl_username or "an anonymous client"
    return LogUnavailable(
        f"the brokers {', '.join(settings.addresses)} refused {who} ({reason}): check username, password, sasl_mechanism, and that it may "
        f"use topic {settings.topic}",
        url=settings.url,
        reason="refused",
    )


def missing(settings: BrokerSettings) -> TopicMisconfigured:
    """There is no such topic."""
    return TopicMisconfigured(
        f"there is no topic {settings.topic} on {', '.join(settings.addresses)}: create it with "
        f"`eventresults topic init --url {settings.url}`, or connect with create_topic=true",
        topic=settings.topic,
        problems=["missing"],
    )


#: Error codes of the Kafka protocol; both clients use its numbers.
TOO_LARGE = frozenset({10, 18})
NO_TOPIC = frozenset({3, 17, 100, 103})
REFUSED = frozenset({29, 30, 31, 33, 34, 53, 58})
OUT_OF_RANGE = 1
_NOT_ENOUGH_REPLICAS = 19
_INVALID = frozenset({2, 32, 43, 44, 76, 87})


def append_failure(settings: BrokerSettings, code: int | None, reason: object, key: bytes, size: int) -> LogError:
    """What became of a record that was not acknowledged. `code` is the protocol's; None for an error of the client's own."""
    if code in TOO_LARGE:
        return too_large(key, size, settings.max_value_bytes)
    if code in NO_TOPIC:
        return missing(settings)
    if code in REFUSED:
        return refused(settings, reason)
    if code == _NOT_ENOUGH_REPLICAS:
        return LogUnavailable(
            f"topic {settings.topic} has too few replicas in sync to take facts: see which brokers are down, then append again",
            url=settings.url,
            reason="not-enough-replicas",
        )
    if code in _INVALID:
        return LogError(f"topic {settings.topic} refused a fact ({reason}): see `eventresults topic check`", reason=str(reason))
    return AppendTimeout(
        f"the brokers did not acknowledge a fact within {settings.append_timeout:g} s ({reason}): it may or may not be in the log. Append "
        "it again with the same event_id, it then counts once",
        key=key.decode("utf-8", "replace"),
        timeout=settings.append_timeout,
    )
