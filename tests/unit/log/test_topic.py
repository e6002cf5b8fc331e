"""The rules for a topic."""

from __future__ import annotations

from typing import Any

import pytest

from eventresults.errors import ConfigError
from eventresults.log.topic import DAY, TopicDescription, check, config_for

MEBIBYTE = 1024 * 1024


def described(*, replication: int = 3, result_expires: float | None = DAY, **changes: str | None) -> list[tuple[str, str]]:
    """What is wrong with a topic of ours after these changes (None takes a setting away)."""
    config: dict[str, Any] = config_for(max_value_bytes=8 * MEBIBYTE, replication=replication, retention=None, result_expires=DAY)
    config |= {name.replace("_", "."): value for name, value in changes.items()}
    topic = TopicDescription("facts", "id", 1, replication, {name: value for name, value in config.items() if value is not None})
    return [(problem.severity, problem.setting) for problem in check(topic, max_value_bytes=8 * MEBIBYTE, result_expires=result_expires)]


def test_a_topic_that_we_create_passes_its_check() -> None:
    assert described() == []


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"cleanup_policy": "compact"}, "cleanup.policy"),
        ({"cleanup_policy": "compact,delete"}, "cleanup.policy"),
        ({"message_timestamp_type": "CreateTime"}, "message.timestamp.type"),
        ({"message_timestamp_type": None}, "message.timestamp.type"),
        ({"max_message_bytes": str(8 * MEBIBYTE)}, "max.message.bytes"),
        ({"max_message_bytes": "1048588"}, "max.message.bytes"),
        ({"retention_ms": str(int(2 * DAY * 1000) - 1)}, "retention.ms"),
    ],
)
def test_what_loses_or_reorders_facts_is_an_error(changes: dict[str, str | None], setting: str) -> None:
    assert described(**changes) == [("error", setting)]


@pytest.mark.parametrize("retention", ["-1", str(int(2 * DAY * 1000))])
def test_a_retention_of_a_day_longer_than_results_will_do(retention: str) -> None:
    assert described(retention_ms=retention) == []


@pytest.mark.parametrize("never", [None, 0])
def test_results_that_never_expire_want_a_log_that_never_forgets(never: float | None) -> None:
    assert described(result_expires=never) == [("error", "retention.ms")]
    assert described(result_expires=never, retention_ms="-1") == []


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        ({"replication": 1}, ["replication"]),
        ({"min_insync_replicas": "1"}, ["min.insync.replicas"]),
        ({"min_insync_replicas": "3"}, ["min.insync.replicas"]),
        ({"unclean_leader_election_enable": "true"}, ["unclean.leader.election.enable"]),
        ({"retention_bytes": "1000000"}, ["retention.bytes"]),
    ],
)
def test_what_makes_a_loss_likelier_is_a_warning(changes: dict[str, Any], settings: list[str]) -> None:
    assert described(**changes) == [("warning", setting) for setting in settings]


def test_errors_come_before_warnings_and_say_what_to_do() -> None:
    topic = TopicDescription("facts", "id", 1, 1, {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"})
    problems = check(topic, max_value_bytes=1_000, result_expires=DAY)
    assert [problem.severity for problem in problems] == ["error", "error", "error", "warning"]
    assert str(problems[0]).startswith("cleanup.policy is compact, and should be delete: ")


def test_a_retention_that_would_remove_results_is_refused() -> None:
    with pytest.raises(ConfigError, match="2 days"):
        config_for(max_value_bytes=1_000, replication=3, retention=DAY, result_expires=DAY)
    with pytest.raises(ConfigError, match="for ever"):
        config_for(max_value_bytes=1_000, replication=3, retention=DAY, result_expires=None)


@pytest.mark.parametrize(
    ("retention", "expires", "milliseconds"), [(None, DAY, 32 * DAY * 1000), (0, DAY, -1), (None, 0, -1), (None, 90 * DAY, 91 * DAY * 1000)]
)
def test_the_retention_outlasts_the_results(retention: float | None, expires: float, milliseconds: float) -> None:
    config = config_for(max_value_bytes=1_000, replication=3, retention=retention, result_expires=expires)
    assert config["retention.ms"] == str(int(milliseconds))


def test_a_larger_value_raises_the_largest_message() -> None:
    config = config_for(max_value_bytes=64 * MEBIBYTE, replication=3, retention=None, result_expires=DAY)
    assert int(config["max.message.bytes"]) > 64 * MEBIBYTE


@pytest.mark.parametrize(("replication", "in_sync"), [(-1, None), (1, None), (2, "2"), (3, "2"), (5, "3")])
def test_a_majority_acknowledges(replication: int, in_sync: str | None) -> None:
    config = config_for(max_value_bytes=1_000, replication=replication, retention=None, result_expires=DAY)
    assert config.get("min.insync.replicas") == in_sync
