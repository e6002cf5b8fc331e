"""`eventresults replay`."""

from __future__ import annotations

import json

import pytest

SPEND = "tests.support.projections:SPEND"


def test_a_stretch_is_printed_as_events_cat_does(appended):
    assert appended("replay").out == appended("events", "cat").out
    assert [row["event"]["task_id"] for row in appended("replay", "--from", "0:3", "--to", "0:5").rows] == ["bad", "bad"]
    assert [row["event"]["kind"] for row in appended("replay", "--where", "name=div").rows] == ["task-sent", "task-started", "task-failed"]


def test_a_dry_run_counts(appended):
    row = appended("replay", "--dry-run", "--where", "kind~task-s*", "--into", "sqlite:///other.db").row
    assert (row["told"], row["read"], row["subjects"]) == (8, 10, 4)
    assert row["kinds"] == {"task-sent": 4, "task-started": 3, "task-succeeded": 1}
    assert (row["from"], row["to"]) == (["0:0"], ["0:10"])


def test_into_another_log_as_new_tasks_that_say_what_they_repeat(appended):
    row = appended("replay", "--into", "sqlite:///other.db", "--where", "name=sum", "--run", "monday").row
    assert (row["told"], row["run"], row["left_out"]) == (7, "monday", 0)
    tasks = [appended("task", "show", one["id"], "--url", "sqlite:///other.db").row for one in
             appended("task", "list", "--url", "sqlite:///other.db").rows]  # fmt: skip
    assert {(task["replay_of"], task["state"]) for task in tasks} == {("ok", "SUCCESS"), ("slow", "STARTED"), ("off", "REVOKED")}


def test_into_another_log_under_the_same_ids(appended):
    assert appended("replay", "--into", "sqlite:///other.db", "--ids", "same").row["told"] == 10
    assert appended("task", "show", "ok", "--url", "sqlite:///other.db").row["result"] == {"sum": 3}
    again = appended("replay", "--into", "sqlite:///other.db", "--ids", "same")
    assert again.code == 0
    assert appended("task", "show", "ok", "--url", "sqlite:///other.db").row["facts"] == 3


def test_into_the_log_itself_is_refused(appended):
    done = appended("replay", "--into", "sqlite:///events.db")
    assert (done.code, done.out) == (78, "")
    assert "is the log that is replayed" in done.err


def test_one_that_is_done_is_not_told_again(appended):
    replay = ("replay", "--into", "sqlite:///other.db", "--resume", "notes.json")
    assert appended(*replay).row["told"] == 10
    again = appended(*replay)
    assert (again.row["told"], "All of it was told already." in again.err) == (0, True)
    assert appended("state", "--url", "sqlite:///other.db").row["total"] == 4


@pytest.mark.parametrize("other", [("--where", "kind=task-sent"), ("--ids", "same"), ("--run", "x"), ("--to", "0:3")])
def test_notes_of_another_replay_are_refused(appended, other):
    assert appended("replay", "--into", "sqlite:///other.db", "--resume", "notes.json").code == 0
    done = appended("replay", "--into", "sqlite:///other.db", "--resume", "notes.json", *other)
    assert (done.code, done.out) == (78, "")
    assert "is of another replay" in done.err


def test_a_projection_is_folded_beside_and_its_states_are_printed(shell):
    lines = []
    for number, customer in enumerate(["ada", "bob", "ada"]):
        lines.append({"kind": "task-sent", "task_id": f"t{number}", "kwargs": {"customer": customer}})
        lines.append({"kind": "task-succeeded", "task_id": f"t{number}", "result": number + 1})
    shell("events", "append", stdin="\n".join(map(json.dumps, lines)))

    rows = shell("replay", "--projection", SPEND).rows
    assert rows == [
        {"projection": "spend-by-customer", "key": "ada", "state": 4},
        {"projection": "spend-by-customer", "key": "bob", "state": 2},
    ]
    assert shell("replay", "--projection", SPEND, "--to", "0:2").rows == [{**rows[0], "state": 1}]
    assert "runs no projection" in shell("projection", "get", "spend-by-customer", "ada").err  # the live view knows nothing of it


def test_a_scratch_view_is_kept_and_goes_on(appended):
    first = appended("replay", "--scratch", "scratch").row
    assert first == {"total": 4, "counts": {"SUCCESS": 1, "FAILURE": 1, "STARTED": 1, "REVOKED": 1}}
    again = appended("replay", "--scratch", "scratch")
    assert again.row == first
    assert "told already" in again.err
    done = appended("replay", "--scratch", "scratch", "--projection", SPEND)
    assert (done.code, "another replay" in done.err) == (78, True)


def test_a_folder_with_something_else_in_it_is_left_alone(appended, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    done = appended("replay", "--scratch", "mine")
    assert (done.code, "holds something else (thesis.txt)" in done.err) == (78, True)


def test_a_broken_projection_says_where(appended):
    done = appended("replay", "--projection", SPEND)
    assert (done.code, done.out) == (1, "")
    assert "failed at 0:2" in done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--where", "nonsense"), "is no condition"),
        (("--from", "gestern"), "is no time"),
        (("--from", "9:0"), "no partition 9"),
        (("--projection", SPEND, "--into", "sqlite:///other.db"), "a scratch view takes neither"),
        (("--run", "x"), "goes with --into"),
        (("--resume", "n.json", "-o", "json"), "cannot be gone on with"),
        (("--rate", "0"), "--rate"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(appended, arguments, says):
    done = appended("replay", *arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.err


def test_an_empty_stretch_says_so(appended):
    done = appended("replay", "--from", "now")
    assert (done.code, done.out) == (0, "")
    assert "nothing in this stretch" in done.err
