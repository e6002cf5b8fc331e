"""Who is let in."""

from __future__ import annotations

import pytest

from eventresults.errors import ConfigError
from eventresults.service.web.address import check_guarded
from eventresults.service.web.limits import Limits
from eventresults.service.web.tokens import Tokens, load_tokens
from tests.unit.service.web.conftest import Web, serving
from tests.unit.service.web.test_reads import problem


@pytest.fixture
def guarded():
    with serving(tokens=Tokens(["one", "two"])) as web:
        yield web


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("token", ["one", "two"])
def test_any_of_the_tokens_opens(guarded: Web, token: str):
    assert guarded.ask("/api/v1/tasks", headers=bearer(token)).status_code == 200
    assert guarded.ask("/api/v1/tasks", headers={"authorization": f"bearer {token}"}).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, bearer("three"), bearer(""), bearer("on"), bearer("one two"), {"Authorization": "Basic one"}, {"Authorization": "one"}]
)
def test_nothing_else_does(guarded: Web, headers: dict[str, str]):
    answer = guarded.ask("/api/v1/tasks", headers=headers)
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_health_is_open_and_metrics_are_not(guarded: Web):
    assert guarded.ask("/livez").status_code == 200
    assert guarded.ask("/readyz").status_code == 200
    assert guarded.ask("/metrics").status_code == 401
    assert guarded.ask("/api/v1/openapi.json").status_code == 401
    assert guarded.ask("/metrics", headers=bearer("one")).status_code == 200


def test_metrics_may_be_opened():
    with serving(tokens=Tokens(["one"]), open_metrics=True) as web:
        assert web.ask("/metrics").status_code == 200
        assert web.ask("/api/v1/tasks").status_code == 401


@pytest.mark.parametrize("path", ["/%6Civez/../api/v1/tasks", "/livez/", "//livez", "/livez/x", "/api/v1/tasks?x=/livez"])
def test_no_spelling_of_a_path_goes_around_the_door(guarded: Web, path: str):
    assert guarded.ask(path).status_code == 401


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Host": "localhost:8765", "Origin": "http://localhost:1"}]
)
def test_without_a_token_no_page_of_another_site_is_served(web: Web, headers: dict[str, str]):
    problem(web.ask("/api/v1/tasks", headers=headers), 403, "foreign-origin")


@pytest.mark.parametrize("host", ["localhost", "localhost:8765", "127.0.0.1:8765", "[::1]:8765"])
def test_this_machine_is_served_under_its_own_names(web: Web, host: str):
    assert web.ask("/api/v1/tasks", headers={"Host": host}).status_code == 200
    assert web.ask("/api/v1/tasks", headers={"Host": host, "Origin": f"http://{host}"}).status_code == 200


def test_with_a_token_any_name_will_do(guarded: Web):
    assert guarded.ask("/api/v1/tasks", headers={"Host": "results.example", **bearer("one")}).status_code == 200


def test_more_than_so_many_connections_are_429_and_health_still_answers():
    with serving(limits=Limits(connections=0)) as web:
        said = problem(web.ask("/api/v1/tasks"), 429, "too-many-connections")
        assert said["limit"] == 0
        assert web.ask("/livez").status_code == 200


# Tokens and addresses


def test_each_line_of_the_file_is_a_token_beside_the_one_given(tmp_path):
    file = tmp_path / "tokens"
    file.write_text("first\n\n  second \n")
    tokens = load_tokens("given", str(file))
    assert all(tokens.admits(f"Bearer {one}".encode()) for one in ("first", "second", "given"))
    assert not tokens.admits(b"Bearer ")
    assert not tokens.admits(None)


@pytest.mark.parametrize("content", [None, "", "\n \n"])
def test_a_token_file_without_a_token_is_an_error(tmp_path, content):
    file = tmp_path / "tokens"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match="token_file"):
        load_tokens(None, str(file))


def test_tokens_show_nothing_of_themselves():
    assert "hunter2" not in repr(vars(Tokens(["hunter2"])))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "results.example", ""])
def test_an_address_that_others_reach_needs_a_token(host: str):
    with pytest.raises(ConfigError, match="EVENTRESULTS_TOKEN"):
        check_guarded(host, Tokens())
    check_guarded(host, Tokens(["t"]))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_an_address_of_this_machine_alone_needs_none(host: str):
    check_guarded(host, Tokens())
