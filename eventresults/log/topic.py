"""What a topic must be, for no fact to be lost or reordered in it: how we create one, and what we say of one that exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from eventresults.errors import ConfigError

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
DAY = 86_400.0
DEFAULT_RETENTION = 32 * DAY  # what a view with default settings holds: a result for a day, its history for 30 more

_BATCH_OVERHEAD = 64 * 1024  # keys, batch header and record headers beside the largest value


class TopicDescription(NamedTuple):
    """What a broker says of a topic. `replication` is the smallest number of replicas of a partition; `config` holds strings."""

    topic: str
    topic_id: str
    partitions: int
    replication: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Problem:
    """One setting that is not as it should be. An `error` can lose or reorder facts; a `warning` makes that likelier."""

    severity: Literal["error", "warning"]
    setting: str
    have: str
    want: str
    why: str

    def __str__(self) -> str:
        return f"{self.setting} is {self.have or 'unset'}, and should be {self.want}: {self.why}"


def config_for(*, max_value_bytes: int, replication: int, retention: float | None, result_expires: float | None) -> dict[str, str]:
    """The settings of a topic that we create.

    `retention` in seconds; 0 keeps records for ever, None takes 32 days, or `result_expires` and a day if that is longer.
    Raises `ConfigError` for a retention that would remove a result before it expires.
    """
    least = _least_retention(result_expires)
    if retention is None:
        retention = 0.0 if least is None else max(DEFAULT_RETENTION, least)
    elif retention and (least is None or retention < least):
        raise ConfigError(
            f"a retention of {_days(retention)} would remove results that do not expire before: "
            f"take {'0 (for ever)' if least is None else _days(least)} or more, or a shorter result_expires",
            setting="retention",
        )
    config = {
        "cleanup.policy": "delete",
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(max(MAX_MESSAGE_BYTES, max_value_bytes + _BATCH_OVERHEAD)),
        "retention.ms": str(int(retention * 1000) or -1),
        "retention.bytes": "-1",
        "unclean.leader.election.enable": "false",
    }
    if replication > 1:
        config["min.insync.replicas"] = str(replication // 2 + 1)
    return config


def check(topic: TopicDescription, *, max_value_bytes: int, result_expires: float | None) -> list[Problem]:
    """What is wrong with a topic, errors first; an empty list if nothing is."""
    problems = [*_order(topic), *_size(topic, max_value_bytes), *_retention(topic, result_expires), *_replication(topic)]
    return sorted(problems, key=lambda problem: problem.severity)


def _order(topic: TopicDescription) -> list[Problem]:
    problems = []
    policy = topic.config.get("cleanup.policy", "")
    if policy != "delete":
        why = "compaction removes all but the last fact of a task"
        problems.append(Problem("error", "cleanup.policy", policy, "delete", why))
    stamp = topic.config.get("message.timestamp.type", "")
    if stamp != "LogAppendTime":
        why = "with the writers' clocks, times run backwards in the log, and as_of and expiry go wrong"
        problems.append(Problem("error", "message.timestamp.type", stamp, "LogAppendTime", why))
    return problems


def _size(topic: TopicDescription, max_value_bytes: int) -> list[Problem]:
    have = topic.config.get("max.message.bytes", "")
    want = max_value_bytes + _BATCH_OVERHEAD
    if _number(have, default=0) >= want:
        return []
    return [Problem("error", "max.message.bytes", have, f"{want} or more", f"facts of up to {max_value_bytes} bytes would be refused")]


def _retention(topic: TopicDescription, result_expires: float | None) -> list[Problem]:
    problems = []
    have = topic.config.get("retention.ms", "")
    milliseconds = _number(have, default=0)
    least = _least_retention(result_expires)
    if milliseconds != -1 and (least is None or milliseconds < least * 1000):
        want = "-1" if least is None else f"{int(least * 1000)} or more"
        why = "a view that is rebuilt would miss results that have not expired"
        problems.append(Problem("error", "retention.ms", have, want, why))
    bound = topic.config.get("retention.bytes", "-1")
    if _number(bound, default=-1) != -1:
        why = "a busy day would remove results that have not expired"
        problems.append(Problem("warning", "retention.bytes", bound, "-1", why))
    return problems


def _replication(topic: TopicDescription) -> list[Problem]:
    problems = []
    in_sync = _number(topic.config.get("min.insync.replicas", ""), default=1)
    if topic.replication < 3:
        why = "with fewer, the loss of one broker can stop or lose the log"
        problems.append(Problem("warning", "replication", str(topic.replication), "3", why))
    if topic.replication > 1 and in_sync < 2:
        why = "an acknowledged fact may be on one broker alone"
        problems.append(Problem("warning", "min.insync.replicas", str(in_sync), "2", why))
    if topic.replication > 1 and in_sync >= topic.replication:
        why = "the loss of any one broker stops all appends"
        problems.append(Problem("warning", "min.insync.replicas", str(in_sync), f"less than {topic.replication}", why))
    if topic.config.get("unclean.leader.election.enable") == "true":
        why = "a replica that missed facts may become the leader, and they are lost"
        problems.append(Problem("warning", "unclean.leader.election.enable", "true", "false", why))
    return problems


def _least_retention(result_expires: float | None) -> float | None:
    """Seconds; None: for ever."""
    return result_expires + DAY if result_expires else None


def _number(text: str, *, default: int) -> int:
    try:
        return int(text)
    except ValueError:
        return default


def _days(seconds: float) -> str:
    return f"{seconds / DAY:g} days"
