"""`eventresults projection`."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def spending(shell, monkeypatch):
    """A shell whose log holds three purchases, and whose commands run the projection of them."""
    monkeypatch.setenv("EVENTRESULTS_PROJECTIONS", "tests.support.projections:SPEND")
    lines = []
    for number, (customer, cents) in enumerate([("ada", 5), ("bob", 7), ("ada", 1)]):
        lines.append({"kind": "task-sent", "task_id": f"t{number}", "kwargs": {"customer": customer}})
        lines.append({"kind": "task-succeeded", "task_id": f"t{number}", "result": cents})
    assert shell("events", "append", stdin="\n".join(map(json.dumps, lines))).code == 0
    return shell


def test_the_state_of_a_key_is_json(spending):
    assert spending("projection", "get", "spend-by-customer", "ada").row == 6
    done = spending("projection", "get", "spend-by-customer", "eve")
    assert (done.code, done.out) == (3, "")
    assert "has no key 'eve'" in done.err


def test_the_items_come_in_pages(spending):
    done = spending("projection", "items", "spend-by-customer", "--limit", "1")
    assert done.rows == [{"key": "ada", "state": 6}]
    assert "--after ada" in done.err
    assert spending("projection", "items", "spend-by-customer", "--after", "ada").rows == [{"key": "bob", "state": 7}]
    assert spending("projection", "items", "spend-by-customer", "--prefix", "x").rows == []


def test_the_list_says_whether_each_is_whole(spending):
    spending("projection", "get", "spend-by-customer", "ada")
    assert spending("projection", "list").rows == [
        {"name": "spend-by-customer", "version": 1, "state": "whole", "position": None, "reason": None}
    ]


def test_one_that_failed_is_named_with_its_place_and_the_tasks_are_read_all_the_same(spending):
    spending("events", "append", stdin='{"kind": "task-succeeded", "task_id": "odd", "result": 1}')
    assert spending("task", "show", "odd").row["state"] == "SUCCESS"
    listed = spending("projection", "list")
    assert (listed.code, listed.row["state"], listed.row["position"]) == (1, "failed", "0:6")
    done = spending("projection", "get", "spend-by-customer", "ada")
    assert (done.code, done.out) == (1, "")
    assert "failed at 0:6" in done.err


def test_one_that_nobody_runs_is_wrong_configuration(shell):
    done = shell("projection", "get", "nope", "x")
    assert (done.code, done.out) == (78, "")
    assert "runs no projection 'nope'" in done.err
    assert "No projections are run here" in shell("projection", "list").err


def test_one_that_cannot_be_loaded_is_wrong_configuration(shell, monkeypatch):
    monkeypatch.setenv("EVENTRESULTS_PROJECTIONS", "tests.support.projections:NOPE")
    done = shell("projection", "list")
    assert done.code == 78
    assert "cannot be loaded" in done.err
