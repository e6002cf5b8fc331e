"""REST: the states of projections."""

from __future__ import annotations

import pytest

from eventresults.log.memory import MemoryLog
from eventresults.projector.registered import Registered
from tests.support.projections import Spend
from tests.unit.service.web.conftest import serving
from tests.unit.service.web.test_openapi import check
from tests.unit.service.web.test_reads import problem

PATH = "/api/v1/projections/spend-by-customer"


@pytest.fixture
def shop():
    """A service that runs a projection; five customers bought."""
    with serving(MemoryLog(partitions=3), projections=Registered([Spend()], installed=False)) as web:
        for number, customer in enumerate(["ada", "b/b", "cy", "dan", "ada"]):
            web.recorder.sent(f"t{number}", kwargs={"customer": customer})
            web.recorder.succeeded(f"t{number}", result=number)
        yield web


def test_the_state_of_a_key_is_told(shop):
    assert shop.get(f"{PATH}/ada") == {"key": "ada", "state": 4}
    assert shop.get(f"{PATH}/b%2Fb") == {"key": "b/b", "state": 1}
    check(shop.get(f"{PATH}/ada"), "State")


def test_the_keys_come_in_pages(shop):
    first = shop.get(f"{PATH}?limit=3")
    assert [item["key"] for item in first["items"]] == ["ada", "b/b", "cy"]
    check(first, "StatePage")
    second = shop.get(f"{PATH}?limit=3&after={first['next_after']}")
    assert second == {"items": [{"key": "dan", "state": 3}], "next_after": None}
    assert [item["key"] for item in shop.get(f"{PATH}?prefix=c")["items"]] == ["cy"]


def test_what_is_not_there_is_said_to_be_unknown(shop):
    problem(shop.ask(f"{PATH}/eve"), 404, "unknown-key")
    assert problem(shop.ask("/api/v1/projections/other"), 404, "projection-unknown")["known"] == "spend-by-customer"


def test_one_that_failed_is_a_failure_with_its_place(shop, caplog):
    shop.recorder.succeeded("odd", result=1)
    said = problem(shop.ask(f"{PATH}/ada"), 500, "projection-failed")
    assert said["name"] == "spend-by-customer"
    assert ":" in said["position"]
    assert "failed at" in caplog.text


def test_a_parameter_that_means_nothing_is_refused(shop):
    problem(shop.ask(f"{PATH}?cursor=x"), 400, "invalid-parameter")
    problem(shop.ask(f"{PATH}/ada?prefix=x"), 400, "invalid-parameter")
