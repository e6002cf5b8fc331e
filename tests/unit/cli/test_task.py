from __future__ import annotations

import json

import pytest


def test_show_tells_everything_that_is_known(appended):
    row = appended("task", "show", "ok").row
    assert (row["state"], row["name"], row["args"], row["result"]) == ("SUCCESS", "sum", [1, 2], {"sum": 3})
    assert (row["worker"], row["attempts"], row["runtime"], row["queue"]) == ("w@h", 1, 0.5, "q")
    assert row["queue_time"] >= 0
    assert row["position"] == "0:2"
    assert row["born_at"] < row["log_time"]


def test_show_for_people_has_the_traceback_in_full(appended):
    done = appended("task", "show", "bad", "-o", "table")
    assert "ZeroDivisionError" in done.out
    assert "\ntraceback:\nTraceback:\n  line 1\n" in done.out


def test_an_unknown_task_is_not_found(appended):
    for verb in ("show", "history", "result"):
        done = appended("task", verb, "nobody")
        assert (done.code, done.out) == (3, "")
        assert done.err.startswith("Error: no task 'nobody' is known")
        assert done.err.count("\n") == 1


def test_an_id_that_can_be_none_is_wrong_usage(appended):
    assert appended("task", "show", "").code == 2
    assert appended("task", "show", "x" * 1025).code == 2


def test_list_is_newest_first_and_can_be_narrowed(appended):
    assert [row["id"] for row in appended("task", "list").rows] == ["off", "slow", "bad", "ok"]
    assert [row["id"] for row in appended("task", "list", "--state", "FAILURE").rows] == ["bad"]
    assert [row["id"] for row in appended("task", "list", "--name", "div").rows] == ["bad"]
    assert appended("task", "list", "--until", "1h ago").rows == []
    assert len(appended("task", "list", "--since", "1h ago").rows) == 4


def test_a_list_goes_on_by_its_cursor(appended):
    first = json.loads(appended("task", "list", "--limit", "3", "-o", "json").out)
    assert [row["id"] for row in first["items"]] == ["off", "slow", "bad"]
    second = json.loads(appended("task", "list", "--limit", "3", "--cursor", first["next_cursor"], "-o", "json").out)
    assert [row["id"] for row in second["items"]] == ["ok"]
    assert second["next_cursor"] is None
    assert f"--cursor {first['next_cursor']}" in appended("task", "list", "--limit", "3").err


def test_a_cursor_of_somebody_elses_is_wrong_usage(appended):
    done = appended("task", "list", "--cursor", "nonsense")
    assert done.code == 2
    assert "is no cursor" in done.err


def test_history_is_every_fact_in_order(appended):
    rows = appended("task", "history", "bad").rows
    assert [row["kind"] for row in rows] == ["task-sent", "task-started", "task-failed"]
    assert rows[0]["details"] == {"name": "div", "args": [1, 0]}
    assert rows[0]["position"] == "0:3"


@pytest.mark.parametrize(("task_id", "code", "state"), [("ok", 0, "SUCCESS"), ("bad", 1, "FAILURE"), ("off", 1, "REVOKED")])
def test_waiting_ends_with_the_task_and_says_how_it_ended(appended, task_id, code, state):
    done = appended("task", "wait", task_id, "--timeout", "10s")
    assert (done.code, done.row["state"]) == (code, state)


@pytest.mark.parametrize("task_id", ["slow", "nobody"])
def test_waiting_in_vain_is_a_timeout(appended, task_id):
    done = appended("task", "wait", task_id, "--timeout", "50ms")
    assert (done.code, done.out) == (124, "")
    assert done.err.startswith("Error: ")


def test_a_result_is_printed_as_json(appended):
    done = appended("task", "result", "ok")
    assert (done.code, done.row) == (0, {"sum": 3})


@pytest.mark.parametrize(
    ("task_id", "code", "said"),
    [("bad", 1, "ZeroDivisionError: division by zero"), ("off", 1, "revoked (not wanted)"), ("slow", 124, "has not ended")],
)
def test_a_result_that_is_none_says_why(appended, task_id, code, said):
    done = appended("task", "result", task_id)
    assert (done.code, done.out) == (code, "")
    assert said in done.err


def test_forgetting_ends_the_life_and_keeps_the_facts(appended):
    done = appended("task", "forget", "ok", "bad", "--reason", "test")
    assert (done.code, [row["id"] for row in done.rows]) == (0, ["ok", "bad"])
    assert appended("task", "show", "ok").code == 3
    assert appended("events", "cat", "--id", "ok").rows[-1]["event"]["kind"] == "task-forgotten"


def test_forgetting_an_unknown_task_is_told_and_the_others_are_forgotten(appended):
    done = appended("task", "forget", "ok", "nobody")
    assert (done.code, [row["id"] for row in done.rows]) == (3, ["ok"])
    assert "'nobody'" in done.err
    assert appended("events", "cat", "--id", "nobody").rows == []


def test_revoking_is_a_request_with_its_facts(appended):
    done = appended("task", "revoke", "slow", "--terminate", "--signal", "SIGKILL", "--reason", "too slow")
    assert done.code == 0
    event = appended("events", "cat", "--id", "slow").rows[-1]["event"]
    assert (event["kind"], event["terminate"], event["signal"], event["reason"]) == ("task-revoke-requested", True, "SIGKILL", "too slow")
    assert appended("task", "show", "slow").row["state"] == "STARTED"
