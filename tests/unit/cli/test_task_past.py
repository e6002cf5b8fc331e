"""`task show --at` and `task diff`: one task at moments of the past."""

from __future__ import annotations

import sqlite3

import pytest


def test_a_task_is_shown_as_it_was_at_a_position(appended):
    row = appended("task", "show", "ok", "--at", "0:1").row
    assert (row["as_of"], row["answered_from"], row["state"], row["facts"]) == ("0:1", "view", "STARTED", 2)


def test_a_task_is_shown_as_it_was_at_a_time(appended):
    ended = appended("task", "history", "ok").rows[2]["log_time"]
    row = appended("task", "show", "ok", "--at", ended).row
    assert (row["as_of"], row["state"], row["result"]) == (ended, "SUCCESS", {"sum": 3})
    assert appended("task", "show", "ok", "--at", "now").row["state"] == "SUCCESS"


@pytest.mark.parametrize("at", ["2h ago", "2020-01-01"])
def test_what_was_not_there_then_is_not_found(appended, at):
    done = appended("task", "show", "ok", "--at", at)
    assert (done.code, done.out) == (3, "")
    assert "no task 'ok' was known at" in done.err


@pytest.mark.parametrize(("at", "says"), [("gestern", "is no time"), ("7:1", "partition 0")])
def test_a_place_that_cannot_be_is_wrong_usage(appended, at, says):
    done = appended("task", "show", "ok", "--at", at)
    assert (done.code, done.out) == (2, "")
    assert says in done.err


def test_a_diff_tells_each_field_that_changed(appended):
    done = appended("task", "diff", "ok", "--from", "0:1", "--to", "0:2")
    changes = {row["field"]: (row["before"], row["after"]) for row in done.rows}
    assert done.code == 1
    assert (changes["state"], changes["result"], changes["runtime"]) == (("STARTED", "SUCCESS"), (None, {"sum": 3}), (None, 0.5))
    assert "name" not in changes
    assert "0:1: STARTED after 2 facts, the last at 0:1 (view) → 0:2: SUCCESS after 3 facts" in done.err


def test_a_diff_from_before_the_task_has_everything(appended):
    changes = {row["field"]: (row["before"], row["after"]) for row in appended("task", "diff", "ok", "--from", "1h ago").rows}
    assert changes["name"] == (None, "sum")


def test_no_change_is_nothing_to_print(appended):
    done = appended("task", "diff", "ok", "--from", "0:2", "--to", "now")
    assert (done.code, done.out) == (0, "")


def test_a_task_that_was_at_neither_moment_is_not_found(appended):
    done = appended("task", "diff", "nobody", "--from", "1h ago")
    assert (done.code, done.out) == (3, "")


@pytest.fixture
def kept(appended):
    """As `appended`; but retention has removed all that came before offset 4, of which there is an archive."""
    assert appended("archive", "run", "--once", "--archive", "archive").code == 0
    with sqlite3.connect("events.db") as database:
        database.execute("DELETE FROM records WHERE offset < 4")
        database.execute("UPDATE about SET start = 4")
    database.close()
    return appended


def test_what_retention_removed_is_past_and_gone(kept):
    done = kept("task", "show", "ok", "--at", "0:1")
    assert (done.code, done.out) == (3, "")
    assert "begins at" in done.err


def test_what_retention_removed_is_read_in_the_archive(kept):
    row = kept("task", "show", "ok", "--at", "0:1", "--archive", "archive").row
    assert (row["answered_from"], row["state"]) == ("archive", "STARTED")
    done = kept("task", "diff", "ok", "--from", "0:1", "--to", "0:2", "--archive", "archive")
    assert (done.code, {row["field"] for row in done.rows} >= {"state", "result"}) == (1, True)
    picture = kept("state", "--at", "0:1", "--archive", "archive").row
    assert (picture["answered_from"], picture["counts"]) == ("archive", {"STARTED": 1})


def test_an_archive_of_another_log_is_wrong_configuration(kept):
    assert kept("events", "append", "--url", "sqlite:///other.db", stdin='{"kind": "task-sent", "task_id": "x"}').code == 0
    assert kept("archive", "run", "--once", "--archive", "others", "--url", "sqlite:///other.db").code == 0
    done = kept("task", "show", "ok", "--at", "0:1", "--archive", "others")
    assert (done.code, done.out) == (78, "")
    assert "name the archive of this one" in done.err
