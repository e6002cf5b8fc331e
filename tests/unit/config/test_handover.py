"""Settings that go to another process are the same there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from eventresults.bootstrap import make_heir, view_folder
from eventresults.config import Settings, load_settings
from eventresults.config.handover import hand_over, take_over


@pytest.fixture(autouse=True)
def _nothing_configured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("EVENTRESULTS_"):
            monkeypatch.delenv(name)


def elsewhere(settings: Settings, monkeypatch) -> Settings:
    """What another process makes of them, in another folder, with another environment and a file of its own."""
    line = json.dumps(hand_over(settings, view=view_folder(settings)))
    Path("other").mkdir()
    monkeypatch.chdir("other")
    Path("eventresults.toml").write_text("read_timeout = 1\nlinger_ms = 9\n")
    monkeypatch.setenv("EVENTRESULTS_SASL_PASSWORD", "another")
    monkeypatch.setenv("EVENTRESULTS_COMPRESSION", "zstd")
    return take_over(json.loads(line))


def test_secrets_durations_and_sizes_come_through_as_they_are(monkeypatch, tmp_path):
    # given
    monkeypatch.setenv("EVENTRESULTS_READ_TIMEOUT", "1m30s")
    settings = load_settings(
        "kafka+ssl://ann:p%40ss:%2Fw%C3%B6rd@h:9093/topic?ssl_password=k%26y&max_value_bytes=5MiB",
        view=str(tmp_path / "view"),
        token="t\"o'k\nen",
        result_expires="never",
        unfinished_expires=0.1 + 0.2,
        partitions=3,
    )

    # when
    other = elsewhere(settings, monkeypatch)

    # then
    assert other == settings
    assert {name: getattr(other, name) for name in Settings.model_fields} == {
        name: getattr(settings, name) for name in Settings.model_fields
    }
    assert other.sasl_password is not None
    assert other.sasl_password.get_secret_value() == "p@ss:/wörd"
    assert other.ssl_password is not None
    assert other.ssl_password.get_secret_value() == "k&y"
    assert (other.read_timeout, other.sources["read_timeout"]) == (90.0, "EVENTRESULTS_READ_TIMEOUT")
    assert "wörd" not in repr(other) + str(other.url)


def test_relative_paths_mean_the_same_from_another_folder(monkeypatch, tmp_path):
    # given
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    settings = load_settings("sqlite:///a folder/events.db?synchronous=FULL", token_file="~/token", ssl_cafile="ca.pem")

    # when
    other = elsewhere(settings, monkeypatch)

    # then
    assert other.log.path == str(tmp_path / "a folder" / "events.db")
    assert view_folder(other) == tmp_path / "a folder" / "events.db.view"
    assert (other.token_file, other.ssl_cafile) == (str(tmp_path / "home" / "token"), str(tmp_path / "ca.pem"))
    assert other.synchronous == "FULL"


@pytest.mark.parametrize(
    ("url", "given", "sent"),
    [
        ("sqlite:///events.db", {}, True),
        ("kafka://h/topic", {"view": "here"}, True),
        ("sqlite:///events.db", {"own": "spawn"}, True),
        ("sqlite:///events.db", {"own": "never"}, False),
        ("memory://", {"view": "here"}, False),
    ],
)
def test_an_heir_is_sent_only_where_another_process_can_own_the_view_and_may(url, given, sent):
    assert (make_heir(load_settings(url, **given)) is not None) is sent
