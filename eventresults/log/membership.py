"""Sharing a log's partitions among the members of a group, and asking the group who has which.

A member of a group reads the partitions that it is assigned, until they go to another. Where it can be reached is part of what the group
knows of it, so that a reader finds the owner of a key by asking the log alone.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from eventresults.errors import ConfigError
from eventresults.log.base import Log, Poll

#: Seconds without a sign of life after which the group gives a member's partitions to others; brokers allow 6 and more by default.
DEFAULT_SESSION_TIMEOUT = 10.0
DEFAULT_HEARTBEAT_INTERVAL = 3.0
#: Seconds without a poll after which a member leaves by itself: whoever folds for it is stuck.
DEFAULT_STALL_TIMEOUT = 300.0

_MARK = "eventresults;"
_ADDRESS = re.compile(r"https?://[!-~]{1,500}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")


class GroupListener(Protocol):
    """Told of what a member is assigned, on threads of the log that hold the group up meanwhile: return at once, and never raise."""

    def assigned(self, partitions: frozenset[int]) -> None:
        """These are this member's from now on: open their shards elsewhere, then `start` them."""

    def revoked(self, partitions: frozenset[int]) -> None:
        """These go to others, who get them only after this returned; no poll gives them any more."""

    def lost(self, partitions: frozenset[int]) -> None:
        """The group took this member for dead: others may have had these for a while. No poll gives them any more."""


class Membership(Protocol):
    """One member of a group. It joins by itself, and again whenever it fell out. One thread polls; the rest may come from any."""

    @property
    def assigned(self) -> frozenset[int]:
        """The partitions that are this member's now."""

    def start(self, positions: Mapping[int, int]) -> frozenset[int]:
        """Read these partitions from these offsets (again, if they were started before); those not assigned (any more) are left out.

        Returns those that were started.
        """

    def stop(self, partitions: Collection[int]) -> None:
        """Do not read these any more: no poll that begins after this, or is still waiting, gives them. They stay assigned."""

    def poll(self, timeout: float) -> Mapping[int, Poll]:
        """See `EventReader.poll`, of the partitions started.

        Keep calling it, also while nothing is started: see `stall_timeout` of `GroupLog.join`. Raises what `EventReader.poll` raises (stop
        the partition that `ViewStale` names, or start it elsewhere, before polling on); `LogUnavailable` or `TopicMisconfigured` while the
        group cannot be joined and nothing is started; `LogError` (reason "fenced"), for good, when another process joined with the same
        `instance_id`.
        """

    def commit(self, positions: Mapping[int, int]) -> None:
        """Tell the group how far this member is, for tools that watch lag. Advice: sent about once a second, never read by us."""

    def wake(self) -> None:
        """Make the poll in progress, or else the next one, return at once."""

    def close(self) -> None:
        """Leave the group, unless it keeps the place of an `instance_id` for the session timeout. Idempotent, at most 5 seconds.

        The listener is told that what was assigned is revoked; a poll in progress raises `Closed`.
        """


class GroupLog(Log, Protocol):
    """A log whose partitions can be shared by a group."""

    def join(
        self,
        group_id: str,
        listener: GroupListener,
        *,
        address: str,
        instance_id: str | None = None,
        session_timeout: float = DEFAULT_SESSION_TIMEOUT,
        heartbeat_interval: float = DEFAULT_HEARTBEAT_INTERVAL,
        stall_timeout: float = DEFAULT_STALL_TIMEOUT,
    ) -> Membership:
        """Join a group, in the background; the caller closes the membership.

        `address` is where others reach this member (`http://host:port`). With an `instance_id` of its own, a member that comes back at the
        same address within the session timeout has its partitions again without the others noticing; it does not say goodbye then, so that
        its partitions rest for the session timeout when it ends for good. Times in seconds. A member that does not poll for `stall_timeout`
        leaves, and joins again with its next poll. Raises `ConfigError`, `Closed`.
        """

    def owners(self, group_id: str, timeout: float) -> Mapping[int, str]:
        """The address of the member that each partition is assigned to, as the group has it now.

        Partitions on their way from one member to another are missing; so are all while the group is between two assignments, has no
        member, or does not exist. Members that are not ours are left out. Raises as `info` does.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """The arguments of `GroupLog.join`. Raises `ConfigError`."""

    group_id: str
    address: str
    instance_id: str | None = None
    session_timeout: float = DEFAULT_SESSION_TIMEOUT
    heartbeat_interval: float = DEFAULT_HEARTBEAT_INTERVAL
    stall_timeout: float = DEFAULT_STALL_TIMEOUT

    def __post_init__(self) -> None:
        """Check what the brokers would refuse with fewer words."""
        if not self.group_id:
            raise _refused("group", self.group_id, "name the group")
        if not _ADDRESS.fullmatch(self.address):
            raise _refused("address", self.address, "write http://host:port, in ASCII and without blanks")
        if self.instance_id is not None and not _NAME.fullmatch(self.instance_id):
            raise _refused("instance_id", self.instance_id, "use 1 to 200 letters, digits, dots, dashes and underscores of ASCII")
        if not 0 < self.heartbeat_interval < self.session_timeout:
            raise _refused(
                "heartbeat_interval", self.heartbeat_interval, f"it must lie below the session timeout ({self.session_timeout:g} s)"
            )

    @property
    def client_id(self) -> str:
        """What the group shows to everybody who asks."""
        return _MARK + self.address

    @property
    def group_instance_id(self) -> str | None:
        """Kafka's name for the instance. At another address it is another one: brokers never change the client id of one they know."""
        if self.instance_id is None:
            return None
        return f"{self.instance_id}-{hashlib.blake2b(self.address.encode(), digest_size=4).hexdigest()}"


class Holding(NamedTuple):
    """What a group says of one member: its client id, and partitions of one topic that it is assigned."""

    client_id: str
    topic: str
    partitions: tuple[int, ...]


def addresses(holdings: Iterable[Holding], topic: str) -> dict[int, str]:
    """Where each partition's member is reached; members that are not ours are left out, and so is a partition that two claim."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for holding in holdings:
        address = address_in(holding.client_id)
        if address is not None and holding.topic == topic:
            for partition in holding.partitions:
                found[partition].add(address)
    return {partition: claims.pop() for partition, claims in found.items() if len(claims) == 1}


def address_in(client_id: str) -> str | None:
    """The address that a client id holds; None when it is not one of ours."""
    mark, address = client_id[: len(_MARK)], client_id[len(_MARK) :]
    return address if mark == _MARK and _ADDRESS.fullmatch(address) else None


def _refused(setting: str, value: object, cure: str) -> ConfigError:
    return ConfigError(f"{setting}={value!r} cannot be used in a group: {cure}", setting=setting, source=None)
