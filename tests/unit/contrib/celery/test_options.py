"""What the URL and the transport options say."""

from __future__ import annotations

import pytest

from eventresults.contrib.celery.options import read
from eventresults.errors import ConfigError


def test_options_are_taken_out_of_the_url_and_settings_are_left_in():
    settings, options = read("sqlite:///x.db?freshness=applied&sent_durable=true&read_timeout=3s&observe=sent,started", {})

    assert (options.freshness, options.sent_durable, options.observe) == ("applied", True, ("sent", "started"))
    assert settings.read_timeout == 3.0
    assert settings.log.path == "x.db"


def test_the_url_precedes_the_transport_options():
    settings, options = read("memory://?claim_timeout=5&read_timeout=3s", {"claim_timeout": 9, "read_timeout": 7, "append_timeout": 4})

    assert options.claim_timeout == 5.0
    assert (settings.read_timeout, settings.append_timeout) == (3.0, 4.0)


@pytest.mark.parametrize(
    ("url", "transport", "own"), [("memory://", {}, "spawn"), ("memory://?own=never", {}, "never"), ("memory://", {"own": "auto"}, "auto")]
)
def test_a_process_of_celery_spawns_an_owner_unless_told_otherwise(url, transport, own):
    settings, _ = read(url, transport)

    assert settings.own == own


def test_the_environment_says_otherwise_too(monkeypatch):
    monkeypatch.setenv("EVENTRESULTS_OWN", "auto")

    assert read("memory://", {})[0].own == "auto"


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("memory://?freshness=stale", "freshness='stale'"),
        ("memory://?claim_timeout=soon", "claim_timeout='soon'"),
        ("memory://?clam_timeout=3", "clam_timeout"),
    ],
)
def test_what_cannot_be_used_is_named(url, named):
    with pytest.raises(ConfigError, match=named):
        read(url, {})


def test_without_a_url_the_usual_places_are_asked(monkeypatch):
    monkeypatch.setenv("EVENTRESULTS_URL", "memory://elsewhere")

    assert read(None, {})[0].log.name == "elsewhere"
