"""`eventresults state`: all tasks at a moment."""

from __future__ import annotations

import pytest


def test_now_all_tasks_are_counted_by_state_and_the_newest_listed(appended):
    row = appended("state").row
    assert (row["answered_from"], row["total"]) == ("view", 4)
    assert row["counts"] == {"SUCCESS": 1, "FAILURE": 1, "STARTED": 1, "REVOKED": 1}
    assert [item["id"] for item in row["items"]] == ["off", "slow", "bad", "ok"]


def test_a_list_of_none_leaves_the_counts(appended):
    row = appended("state", "--limit", "0").row
    assert (row["total"], row["items"]) == (4, [])


def test_at_a_position_the_system_is_as_it_was(appended):
    row = appended("state", "--at", "0:4", "--limit", "1").row
    assert (row["as_of"], row["counts"], [item["id"] for item in row["items"]]) == ("0:4", {"STARTED": 1, "SUCCESS": 1}, ["bad"])


def test_at_a_time_the_system_is_as_it_was_and_can_be_narrowed(appended):
    failed = appended("task", "history", "bad").rows[2]["log_time"]
    assert appended("state", "--at", failed).row["counts"] == {"SUCCESS": 1, "FAILURE": 1}
    assert appended("state", "--at", failed, "--state", "FAILURE").row["total"] == 1
    assert appended("state", "--at", failed, "--name", "sum").row["counts"] == {"SUCCESS": 1}


def test_for_people_it_is_a_list_of_numbers_and_one_of_tasks(appended):
    out = appended("state", "-o", "table").out
    assert "answered from" in out
    assert "FAILURE" in out
    assert "slow" in out


def test_before_the_log_nothing_was(appended):
    done = appended("state", "--at", "2020-01-01", "-o", "table")
    assert (done.code, "No such task existed then." in done.err) == (0, True)


@pytest.mark.parametrize("places", [("0:1", "now"), ("5:1",), ("0:1", "0:2"), ("gestern",)])
def test_places_that_are_no_one_moment_are_wrong_usage(appended, places):
    done = appended("state", *(word for place in places for word in ("--at", place)))
    assert (done.code, done.out) == (2, "")
