from __future__ import annotations

import json
import sqlite3

import pytest


def _put(*raw):
    """Records of somebody else's, whatever their bytes."""
    with sqlite3.connect("events.db") as database:
        (end,) = database.execute("SELECT coalesce(max(offset), -1) + 1 FROM records").fetchone()
        now = 4_000_000_000_000
        database.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", [(end + n, now, *one) for n, one in enumerate(raw)])
    database.close()


def test_cat_prints_every_event_as_recorded(appended):
    rows = appended("events", "cat").rows
    assert [row["offset"] for row in rows] == list(range(10))
    assert rows[0]["partition"] == 0
    assert rows[2]["event"]["result"] == {"sum": 3}
    assert rows[2]["event"]["v"] == 1


@pytest.mark.parametrize(
    ("arguments", "offsets"),
    [
        (("--from", "0:8"), [8, 9]),
        (("--to", "0:2"), [0, 1]),
        (("--from", "0:3", "--to", "0:5"), [3, 4]),
        (("--id", "bad"), [3, 4, 5]),
        (("--kind", "task-failed", "--kind", "task-revoked"), [5, 9]),
        (("--id", "bad", "--kind", "task-sent"), [3]),
        (("--from", "1h ago"), list(range(10))),
        (("--to", "1h ago"), []),
        (("--from", "0:99"), []),
    ],
)
def test_cat_can_be_narrowed(appended, arguments, offsets):
    done = appended("events", "cat", *arguments)
    assert (done.code, [row["offset"] for row in done.rows]) == (0, offsets)


def test_cat_as_one_json_document(appended):
    assert [row["offset"] for row in json.loads(appended("events", "cat", "--to", "0:3", "-o", "json").out)] == [0, 1, 2]
    assert json.loads(appended("events", "cat", "--id", "nobody", "-o", "json").out) == []


def test_tail_shows_the_last_ones(appended):
    assert [row["offset"] for row in appended("events", "tail", "-n", "3").rows] == [7, 8, 9]
    assert [row["offset"] for row in appended("events", "tail", "-n", "1", "--id", "ok").rows] == [2]
    assert len(appended("events", "tail").rows) == 10
    line = appended("events", "tail", "-n", "1", "-o", "table").out
    assert "task-revoked" in line
    assert line.startswith("0:9  ")


def test_a_kind_that_nobody_knows_is_noted(appended):
    done = appended("events", "cat", "--kind", "task-succeded")
    assert (done.code, done.rows) == (0, [])
    assert "did you mean 'task-succeeded'?" in done.err


def test_bytes_that_are_no_event_are_shown_as_such(appended):
    _put((b"k", b"not json \x1b[31m"), (b"\xff\xfe", b"\xff"), (b"k", b""))
    rows = appended("events", "cat", "--from", "0:10").rows
    assert [row["event"] for row in rows] == [None, None, None]
    assert rows[0]["value"] == "not json \x1b[31m"
    assert rows[1]["value_base64"] == "/w=="
    assert rows[1]["key_base64"] == "//4="
    assert rows[2]["key"] == "k"
    assert all(row["reason"] for row in rows)
    assert "\x1b" not in appended("events", "cat", "--from", "0:10").out
    assert "(no event)" in appended("events", "tail", "-n", "1", "-o", "table").out


def test_a_kind_of_a_later_version_is_shown_as_recorded(appended):
    _put((b"x", b'{"v":1,"kind":"task-teleported","task_id":"x","time":"2026-01-01T00:00:00Z","to":[1]}'))
    (row,) = appended("events", "cat", "--from", "0:10").rows
    assert row["event"]["kind"] == "task-teleported"
    assert row["event"]["to"] == [1]


def test_append_prints_where_each_stands(shell):
    done = shell("events", "append", stdin='{"kind":"task-sent","task_id":"a"}\n\n{"kind":"task-sent","task_id":"b"}\n')
    assert (done.code, [(row["position"], row["id"]) for row in done.rows]) == (0, [("0:0", "a"), ("0:1", "b")])


def test_append_takes_all_or_nothing(appended):
    done = appended("events", "append", stdin='{"kind":"task-sent","task_id":"a"}\n{"kind":"task-snt","task_id":"b"}\n{\n')
    assert (done.code, done.out) == (2, "")
    assert "line 2: " in done.err
    assert "line 3: " in done.err
    assert len(appended("events", "cat").rows) == 10


def test_appending_the_same_event_again_counts_once(shell):
    line = '{"kind":"task-started","task_id":"a","event_id":"' + "0" * 32 + '","attempt":1}'
    shell("events", "append", stdin=line + "\n" + line)
    shell("events", "append", stdin=line)
    assert len(shell("events", "cat").rows) == 3
    assert len(shell("task", "history", "a").rows) == 1


def test_hostile_names_cannot_write_to_the_terminal(shell):
    evil = "\x1b]0;owned\x07\x9b31m\u202e\r\nforged [red]"
    lines = [
        {"kind": "task-sent", "task_id": "e" + evil, "name": evil, "args": [evil]},
        {"kind": "task-failed", "task_id": "e" + evil, "error": {"type": evil, "message": evil}, "traceback": evil},
    ]
    assert shell("events", "append", stdin="\n".join(json.dumps(line) for line in lines)).code == 0
    for output in ("table", "json", "jsonl"):
        for words in (
            ("task", "show", "e" + evil),
            ("task", "list"),
            ("task", "history", "e" + evil),
            ("events", "cat"),
            ("events", "tail"),
        ):
            done = shell(*words, "-o", output)
            assert done.code == 0
            assert all(one.isprintable() or one == "\n" for one in done.out + done.err), (words, output)
            assert "\nforged" not in done.out or output == "table"
    done = shell("task", "result", "e" + evil)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert all(one.isprintable() or one == "\n" for one in done.err)
