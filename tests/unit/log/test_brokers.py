"""What the settings and the errors of brokers say, and what they keep to themselves."""

from __future__ import annotations

import pickle

import pytest

from eventresults.errors import AppendTimeout, LogError, LogUnavailable, TopicMisconfigured, ValueTooLarge
from eventresults.log.brokers import BrokerSettings, append_failure, missing, refused, unreachable

SETTINGS = BrokerSettings(
    servers="one:9092,two:9092", topic="facts", sasl_username="alice", sasl_password="secret-1", ssl_password="secret-2"
)


def test_no_password_is_in_anything_that_is_shown() -> None:
    errors = [unreachable(SETTINGS, 10, "why"), refused(SETTINGS, "why"), missing(SETTINGS), append_failure(SETTINGS, 7, "why", b"key", 1)]
    shown = f"{SETTINGS!r} {SETTINGS.url} {[(str(error), error.facts) for error in errors]}"
    assert "secret" not in shown


def test_the_url_names_user_servers_and_topic() -> None:
    assert SETTINGS.url == "kafka://alice:***@one:9092,two:9092/facts"
    assert BrokerSettings(servers=["one:9092"], topic="facts").url == "kafka://one:9092/facts"


def test_a_username_alone_means_sasl() -> None:
    assert (SETTINGS.protocol, SETTINGS.mechanism) == ("SASL_PLAINTEXT", "PLAIN")
    plain = BrokerSettings(servers="one", topic="facts")
    assert (plain.protocol, plain.mechanism) == ("PLAINTEXT", None)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (10, ValueTooLarge),
        (18, ValueTooLarge),
        (3, TopicMisconfigured),
        (29, LogUnavailable),
        (19, LogUnavailable),
        (87, LogError),
        (20, AppendTimeout),
        (7, AppendTimeout),
        (45, AppendTimeout),
        (-192, AppendTimeout),
        (None, AppendTimeout),
    ],
)
def test_what_may_be_in_the_log_is_append_timeout_and_nothing_else_is(code: int | None, kind: type[LogError]) -> None:
    error = append_failure(SETTINGS, code, "why", b"key", 5)
    assert type(error) is kind
    assert pickle.loads(pickle.dumps(error)).facts == error.facts
