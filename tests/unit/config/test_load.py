from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from eventresults.config import Settings, load_settings, settings_table
from eventresults.errors import ConfigError


@pytest.fixture(autouse=True)
def _nothing_configured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("EVENTRESULTS_"):
            monkeypatch.delenv(name)


def test_without_anything_the_log_is_a_file_here():
    settings = load_settings()
    assert settings.url == "sqlite:///eventresults.db"
    assert set(settings.sources.values()) == {"default"}


def test_each_place_gives_way_to_the_one_before_it(monkeypatch):
    # given the same setting in every place
    Path("eventresults.toml").write_text("url = 'kafka://h/t?linger_ms=2'\nlinger_ms = 4\nread_timeout = '4s'\nappend_timeout = 4\n")
    monkeypatch.setenv("EVENTRESULTS_LINGER_MS", "3")
    monkeypatch.setenv("EVENTRESULTS_READ_TIMEOUT", "3s")

    # when / then the URL beats the environment, which beats the file, and an argument beats all
    settings = load_settings()
    assert (settings.linger_ms, settings.sources["linger_ms"]) == (2, "URL")
    assert (settings.read_timeout, settings.sources["read_timeout"]) == (3.0, "EVENTRESULTS_READ_TIMEOUT")
    assert (settings.append_timeout, settings.sources["append_timeout"]) == (4.0, "eventresults.toml")
    assert (settings.connect_timeout, settings.sources["connect_timeout"]) == (10.0, "default")
    assert settings.sources["url"] == "eventresults.toml"
    assert load_settings(linger_ms=1).linger_ms == 1
    assert load_settings(linger_ms=1).sources["linger_ms"] == "argument"


def test_the_url_has_the_same_order(monkeypatch):
    Path("eventresults.toml").write_text("url = 'memory://file'\n")
    assert load_settings().url == "memory://file"
    monkeypatch.setenv("EVENTRESULTS_URL", "memory://environment")
    assert load_settings().url == "memory://environment"
    assert load_settings("memory://argument").url == "memory://argument"


def test_a_variable_names_another_file(monkeypatch, tmp_path):
    (tmp_path / "other.toml").write_text("own = 'never'\n")
    monkeypatch.setenv("EVENTRESULTS_CONFIG", str(tmp_path / "other.toml"))
    settings = load_settings()
    assert settings.own == "never"
    assert settings.sources["own"].endswith("other.toml")


def test_a_named_file_that_is_missing_is_an_error(monkeypatch):
    monkeypatch.setenv("EVENTRESULTS_CONFIG", "gone.toml")
    with pytest.raises(ConfigError, match=r"gone\.toml"):
        load_settings()


def test_a_file_that_is_no_toml_is_an_error():
    Path("eventresults.toml").write_text("url: x")
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        load_settings()


def test_an_empty_variable_counts_as_not_given(monkeypatch):
    monkeypatch.setenv("EVENTRESULTS_URL", "")
    assert load_settings().url == "sqlite:///eventresults.db"


def test_a_strangers_variable_is_ignored_and_a_misspelt_one_is_not(monkeypatch):
    monkeypatch.setenv("EVENTRESULTS_PORT", "tcp://10.0.0.1:80")
    monkeypatch.setenv("EVENTRESULTS_SERVICE_HOST", "10.0.0.1")
    load_settings()
    monkeypatch.setenv("EVENTRESULTS_READ_TIMOUT", "5")
    with pytest.raises(ConfigError, match="did you mean EVENTRESULTS_READ_TIMEOUT"):
        load_settings()


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (lambda: load_settings(read_timout=5), ["read_timout", "argument", "did you mean 'read_timeout'"]),
        (lambda: load_settings("kafka://h/t?linger=5"), ["'linger'", "URL", "did you mean 'linger_ms'"]),
        (lambda: load_settings("kafka://h/t?url=x"), ["url"]),
        (lambda: load_settings(own="maybe"), ["own='maybe'", "argument", "auto, spawn, never"]),
        (lambda: load_settings(read_timeout="soon"), ["read_timeout='soon'", "30s"]),
        (lambda: load_settings(read_timeout=0), ["read_timeout=0", "more than 0"]),
        (lambda: load_settings("memory://?partitions=0"), ["partitions='0'", "URL", "at least 1"]),
        (lambda: load_settings(max_value_bytes="many"), ["max_value_bytes='many'", "8MiB"]),
        (lambda: load_settings(5), ["url is a int"]),
        (lambda: load_settings("kafka+ssl://h/t?security_protocol=PLAINTEXT"), ["security_protocol=PLAINTEXT", "contradicts"]),
        (lambda: load_settings("kafka://ann@h/t"), ["needs sasl_password"]),
    ],
)
def test_what_cannot_be_used_is_named_with_its_place_and_what_is_allowed(load, said):
    with pytest.raises(ConfigError) as caught:
        load()
    for text in said:
        assert text in str(caught.value)
    assert caught.value.facts["setting"]


def test_an_unknown_key_in_the_file_is_named():
    Path("eventresults.toml").write_text("[kafka]\nlinger_ms = 3\n")
    with pytest.raises(ConfigError, match=r"'kafka' \(eventresults.toml\) is no setting"):
        load_settings()


def test_no_password_is_shown_anywhere():
    secret = "hunter2"
    settings = load_settings(f"kafka+ssl://ann:{secret}@h/t?ssl_password={secret}")
    for text in (repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json(), settings.url, repr(settings.log)):
        assert secret not in text
    # and they are there for the one who connects
    assert settings.sasl_password is not None
    assert settings.sasl_password.get_secret_value() == secret
    assert settings.ssl_password is not None
    assert settings.ssl_password.get_secret_value() == secret
    with pytest.raises(ConfigError) as caught:
        load_settings("memory://", sasl_password=[secret])
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "arguments", "protocol", "mechanism"),
    [
        ("kafka://h/t", {}, "PLAINTEXT", None),
        ("kafka+ssl://h/t", {}, "SSL", None),
        ("kafka://h/t", {"ssl_cafile": "ca.pem"}, "SSL", None),
        ("kafka://ann:pw@h/t", {}, "SASL_PLAINTEXT", "PLAIN"),
        ("kafka+ssl://ann:pw@h/t?sasl_mechanism=SCRAM-SHA-512", {}, "SASL_SSL", "SCRAM-SHA-512"),
        ("kafka://h/t", {"security_protocol": "SASL_SSL", "sasl_username": "a", "sasl_password": "b"}, "SASL_SSL", "PLAIN"),
        ("memory://", {}, None, None),
    ],
)
def test_security_follows_from_the_scheme_and_the_credentials(url, arguments, protocol, mechanism):
    settings = load_settings(url, **arguments)
    assert (settings.security_protocol, settings.sasl_mechanism) == (protocol, mechanism)


@pytest.mark.parametrize("forever", [None, 0, "0", "never", "none"])
def test_a_lifetime_may_be_for_ever(forever):
    assert load_settings("memory://", result_expires=forever).result_expires is None


def test_sizes_and_durations_take_units(monkeypatch):
    monkeypatch.setenv("EVENTRESULTS_MAX_VALUE_BYTES", "1MiB")
    settings = load_settings("memory://?result_expires=2d")
    assert settings.max_value_bytes == 2**20
    assert settings.result_expires == 172_800


def test_a_view_may_be_a_path_or_several_services():
    assert load_settings(view=Path("/srv/view")).view == "/srv/view"
    assert load_settings(view=["http://a:1", "http://b:1"]).view == "http://a:1,http://b:1"


def test_settings_are_frozen_and_pickle_with_their_sources():
    settings = load_settings("memory://", own="never")
    with pytest.raises(ValidationError):
        settings.own = "auto"
    copy = pickle.loads(pickle.dumps(settings))
    assert copy == settings
    assert copy.sources == settings.sources


def test_the_table_tells_every_setting_in_full():
    table = settings_table()
    assert [row.name for row in table] == list(Settings.model_fields)
    assert all(row.type and row.description for row in table)
    assert {row.name: row.default for row in table}["result_expires"] == "7d"


def test_importing_the_settings_imports_no_client_library():
    code = (
        "import sys, eventresults.config; print(sorted({'kafka','confluent_kafka','rocksdict','rich','typer','celery'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == "[]"


def test_a_token_is_a_secret_wherever_it_comes_from(monkeypatch):
    # given
    monkeypatch.setenv("EVENTRESULTS_TOKEN", "hunter2")
    Path("eventresults.toml").write_text("token_file = '/run/secrets/token'\n")

    # when
    settings = load_settings()

    # then
    assert settings.token is not None
    assert settings.token.get_secret_value() == "hunter2"
    assert settings.token_file == "/run/secrets/token"
    assert "hunter2" not in repr(settings) + settings.model_dump_json()
    with pytest.raises(ConfigError) as refused:
        load_settings(token=["hunter2"])
    assert "hunter2" not in str(refused.value)


def test_the_options_of_serve_in_the_environment_are_no_misspelt_settings(monkeypatch):
    for option in "HOST PORT UDS TLS_CERT TLS_KEY OPEN_METRICS MAX_LAG MIN_FREE MAX_CONNECTIONS MAX_PAGE REQUEST_TIMEOUT URL".split():
        monkeypatch.setenv(f"EVENTRESULTS_SERVE_{option}", "1")
    load_settings()
