from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventresults.config import mask_url, parse_url
from eventresults.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("memory://", {"scheme": "memory", "name": ""}),
        ("memory://shared", {"scheme": "memory", "name": "shared"}),
        ("sqlite:///events.db", {"scheme": "sqlite", "path": "events.db"}),
        ("sqlite:///in/a%20folder.db", {"scheme": "sqlite", "path": "in/a folder.db"}),
        ("sqlite:////var/lib/events.db", {"scheme": "sqlite", "path": "/var/lib/events.db"}),
        ("kafka://h1:9093,h2/task-events", {"scheme": "kafka", "servers": ("h1:9093", "h2:9092"), "topic": "task-events"}),
        ("kafka://[::1]:9092/t", {"scheme": "kafka", "servers": ("[::1]:9092",), "topic": "t"}),
        ("KAFKA+SSL://h/t", {"scheme": "kafka+ssl", "servers": ("h:9092",), "topic": "t"}),
        ("kafka://ann:p%40ss%2Fword@h/t", {"user": "ann", "password": "p@ss/word", "topic": "t"}),
        ("kafka://h/t?linger_ms=5&view=%2Fsrv%2Fview", {"query": {"linger_ms": "5", "view": "/srv/view"}}),
    ],
)
def test_a_url_is_taken_apart(url, expected):
    parsed = parse_url(url)
    assert {name: getattr(parsed, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("kafka://h", "names no topic"),
        ("kafka://h/", "names no topic"),
        ("kafka:///topic", "a server is host:port"),
        ("kafka://h:0/t", "a server is host:port"),
        ("kafka://h:99999/t", "a server is host:port"),
        ("kafka://h1,,h2/t", "a server is host:port"),
        ("kafka://h/a/b", "is no topic's name"),
        ("kafka://h/..", "is no topic's name"),
        ("sqlite://events.db", "sqlite:///relative.db"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "memory://"),
        ("kafak://h/t", "did you mean 'kafka'?"),
        ("redis://h", "sqlite:///relative.db"),
        ("events.db", "is no URL"),
        ("kafka://h/t?linger_ms=1&linger_ms=2", "given twice"),
    ],
)
def test_a_url_that_cannot_be_used_says_how_to_write_it(url, hint):
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert hint in str(caught.value)


SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        f"kafka://ann:{SECRET}@h/t",
        f"kafka://h/t?sasl_password={SECRET}&sasl_username=ann",
        f"kafka://h/t?ssl_password={SECRET}",
        f"kafka://h/t?Token={SECRET}",
        f"kafka://h/t?sasl%5Fpassword={SECRET}",
        f"kafka://h/t?client_secret={SECRET}",
    ],
)
def test_neither_repr_nor_masked_shows_a_password(url):
    parsed = parse_url(url)
    assert SECRET not in repr(parsed)
    assert SECRET not in parsed.masked
    assert "***" in parsed.masked


@pytest.mark.parametrize(
    "url",
    [
        f"kafka://ann:{SECRET}@h",
        f"kafka://ann:x/{SECRET}@h/t",
        f"kafka://ann:x?{SECRET}@h/t",
        f"kafka://ann:x@{SECRET}@h:none/t",
        f"nosuch://ann:{SECRET}@h/t",
        f"ann:{SECRET}@h/t",
        f"kafka://h?sasl_password={SECRET}",
        f"sqlite://ann:{SECRET}@x/y.db",
    ],
)
def test_no_message_about_a_malformed_url_shows_its_password(url):
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.facts)


def test_masking_keeps_what_says_where_the_log_is():
    assert mask_url(f"kafka://ann:{SECRET}@h1:9092/t?linger_ms=5") == "kafka://ann:***@h1:9092/t?linger_ms=5"
    assert mask_url("sqlite:///a.db") == "sqlite:///a.db"


@given(st.sampled_from(["memory://", "sqlite:///", "kafka://h/", "kafka://", "", "kafka+ssl://a:b@"]), st.text(max_size=40))
def test_any_text_is_a_url_or_a_config_error(head, tail):
    try:
        parsed = parse_url(head + tail)
    except ConfigError:
        return
    # what was parsed reads the same again, but for its passwords
    again = parse_url(parsed.masked)
    assert (again.scheme, again.servers, again.topic, again.path, again.name) == (
        parsed.scheme,
        parsed.servers,
        parsed.topic,
        parsed.path,
        parsed.name,
    )
