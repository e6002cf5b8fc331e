from __future__ import annotations

import builtins
import json
import sqlite3
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from eventresults import archive as archives


@pytest.fixture
def archived(appended):
    """A shell whose log is archived in the folder `kept`."""
    assert appended("archive", "run", "--once", "--archive", "kept").code == 0
    return appended


def test_archiving_once_says_what_it_wrote(appended):
    done = appended("archive", "run", "--once", "--archive", "kept")
    assert done.code == 0
    assert (done.row["files"], done.row["events"], done.row["ends"]) == (1, 10, {"0": 10})
    assert len(list(archives.records("kept", 0, 0, 100))) == 10
    assert appended("archive", "run", "--once", "--archive", "kept").row["events"] == 0


def test_an_archive_of_another_log_is_refused(archived):
    assert archived("events", "append", "--url", "sqlite:///other.db", stdin='{"kind":"task-sent","task_id":"x"}').code == 0
    done = archived("archive", "run", "--once", "--archive", "kept", "--url", "sqlite:///other.db")
    assert done.code == 78
    assert "is an archive of 'events', and this log is 'other'" in done.err


def test_an_archive_that_lacks_a_file_is_refused(archived, tmp_path):
    next((tmp_path / "kept").rglob("*.parquet")).unlink()
    done = archived("archive", "run", "--once", "--archive", "kept")
    assert done.code == 1
    assert "it is missing, and the manifest lists it" in done.err


def test_without_the_extra_the_cure_is_told(appended, monkeypatch):
    # given
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow" or name.startswith("eventresults.archive.")]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError(f"No module named {name!r}", name="pyarrow")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)

    # when
    done = appended("archive", "run", "--once", "--archive", "kept")

    # then
    assert done.code == 78
    assert "pip install 'eventresults[archive]'" in done.err


def test_the_archive_is_asked_in_sql(archived):
    done = archived("archive", "query", "SELECT state, count(*) AS n FROM tasks GROUP BY ALL ORDER BY state", "--archive", "kept")
    assert done.code == 0
    assert {row["state"]: row["n"] for row in done.rows} == {"FAILURE": 1, "REVOKED": 1, "STARTED": 1, "SUCCESS": 1}


def test_a_query_can_come_from_standard_input_and_the_place_from_the_environment(archived, monkeypatch):
    monkeypatch.setenv("EVENTRESULTS_ARCHIVE", "kept")
    assert archived("archive", "query", "-", stdin="SELECT 41 + 1 AS n").row == {"n": 42}


@pytest.mark.parametrize("sql", ["selct", "DROP VIEW events", "FROM '/etc/hostname'"])
def test_what_is_no_query_is_wrong_usage(archived, sql):
    done = archived("archive", "query", sql, "--archive", "kept")
    assert (done.code, done.out) == (2, "")
    assert "Not answered" in done.err


def test_asking_where_there_is_no_archive_says_how_to_make_one(shell):
    done = shell("archive", "query", "SELECT 1", "--archive", "nowhere")
    assert done.code == 78
    assert "archive run --once" in done.err


def test_an_answer_goes_into_a_file_of_the_form_that_it_is_named_for(archived, tmp_path):
    sql = "SELECT task_id, log_time, {'a': 1} AS more FROM tasks ORDER BY ALL LIMIT 2"
    for name in ("a.csv", "a.json", "a.jsonl", "a.parquet"):
        done = archived("archive", "query", sql, "--archive", "kept", "--to", name)
        assert (done.code, done.out) == (0, "")
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == "task_id,log_time,more"
    assert json.loads((tmp_path / "a.json").read_text()) == [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 2
    assert archived("archive", "query", sql, "--archive", "kept", "--to", "a.xml").code == 2
    assert archived("archive", "query", sql, "--archive", "kept", "--to", "no/such/folder.csv").code == 2
    assert sorted(path.name for path in tmp_path.glob("*a.*")) == ["a.csv", "a.json", "a.jsonl", "a.parquet"]


@pytest.mark.parametrize("output", ["table", "json", "jsonl", "csv"])
def test_an_answer_is_printed_in_each_form(archived, output):
    done = archived("archive", "query", "SELECT 'x' AS a, NULL AS b", "--archive", "kept", "-o", output)
    assert done.code == 0
    assert "x" in done.out


def test_values_of_every_type_are_given_as_json_can_hold_them(archived):
    sql = """SELECT sum(range)::HUGEINT AS n, 1.5::DECIMAL(4, 2) AS d, TIMESTAMPTZ '2026-01-01 12:00:00.5Z' AS t, '\\x01'::BLOB AS b,
        INTERVAL 90 SECOND AS i, [1, NULL] AS l, {'a': DATE '2026-01-01'} AS s FROM range(4)"""
    row = archived("archive", "query", sql, "--archive", "kept").row
    assert row == {
        "n": 6, "d": 1.5, "t": "2026-01-01T12:00:00.500000Z", "b": "01", "i": "0:01:30", "l": [1, None], "s": {"a": "2026-01-01"}
    }  # fmt: skip


def test_an_answer_that_was_cut_says_so(archived):
    done = archived("archive", "query", "FROM events", "--archive", "kept", "--rows", "2")
    assert len(done.rows) == 2
    assert "--rows allows more" in done.err


def test_saved_questions_are_listed_shown_and_asked(archived):
    names = [row["name"] for row in archived("archive", "ask").rows]
    assert "runtime-percentiles" in names
    assert "quantile_cont" in archived("archive", "ask", "runtime-percentiles", "--sql").out
    assert "PENDING" not in archived("archive", "ask", "throughput", "--archive", "kept", "--plot").out
    assert archived("archive", "ask", "runtime-percentiles", "--archive", "kept", "--plot").out.splitlines()[1].startswith("sum  █")
    assert archived("archive", "ask", "orphans", "--archive", "kept", "--plot").out == "Nothing to draw: no rows.\n"
    (row,) = archived("archive", "ask", "runtime-percentiles", "--archive", "kept", "--set", "limit=5").rows
    assert (row["name"], row["runs"], row["p50"]) == ("sum", 1, 0.5)


@pytest.mark.parametrize("words", [("nothing",), ("orphans", "--set", "x=1"), ("orphans", "--set", "silent=x"), ("orphans", "--set", "x")])
def test_a_question_that_is_none_is_wrong_usage(archived, words):
    assert archived("archive", "ask", *words, "--archive", "kept").code == 2


def test_a_question_needs_an_archive(shell):
    done = shell("archive", "ask", "orphans")
    assert done.code == 2
    assert "--archive" in done.err


def test_an_archive_is_proven_to_equal_its_log_and_its_view(archived):
    done = archived("archive", "verify", "--archive", "kept")
    assert (done.code, done.out) == (0, "")
    assert "1 files are as they were written; 10 events equal the log's" in done.err
    assert "The view is what the archive adds up to" in done.err


def test_a_record_that_was_altered_in_the_log_is_found_with_its_position(archived):
    with sqlite3.connect("events.db") as database:
        database.execute("UPDATE records SET value = CAST(replace(CAST(value AS TEXT), '3', '4') AS BLOB) WHERE offset = 2")
    database.close()
    done = archived("archive", "verify", "--archive", "kept")
    assert done.code == 1
    assert [(row["partition"], row["offset"], row["what"]) for row in done.rows] == [(0, 2, "the record's value")]
    assert "first at 0:2" in done.err
    assert archived("archive", "verify", "--archive", "kept", "--from", "0:3").code == 0
    assert archived("archive", "verify", "--archive", "kept", "--from", "x").code == 2


def test_a_view_that_is_ahead_of_the_archive_is_not_compared(archived):
    assert archived("events", "append", stdin='{"kind":"task-sent","task_id":"x"}').code == 0
    done = archived("archive", "verify", "--archive", "kept")
    assert done.code == 0
    assert "The view is ahead of the archive (at 0:11)" in done.err


def test_a_view_that_is_wrong_is_found_by_the_archive(archived):
    from eventresults.codec import rows
    from eventresults.view import keys
    from eventresults.view.rocksdb import RocksStore

    assert archived("task", "show", "ok").code == 0
    store = RocksStore(Path("events.db.view") / "1" / "0")
    store.commit({keys.state("ok"): rows.encode_task(rows.decode_task(store.get(keys.state("ok"))).evolve(state="FAILURE"))})
    store.close()
    done = archived("archive", "verify", "--archive", "kept")
    assert done.code == 1
    assert done.row["field"] == "state"


def test_verifying_the_archive_of_another_log_is_refused(archived):
    assert archived("events", "append", "--url", "sqlite:///other.db", stdin='{"kind":"task-sent","task_id":"x"}').code == 0
    assert archived("archive", "verify", "--archive", "kept", "--url", "sqlite:///other.db").code == 78


def test_the_status_tells_what_is_there(archived):
    row = archived("archive", "status", "--archive", "kept").row
    assert (row["partition"], row["start"], row["end"], row["files"], row["events"], row["topic"]) == (0, 0, 10, 1, 10, "events")
    assert archived("archive", "status", "--archive", "nowhere").code == 78


def test_files_are_compacted(archived):
    for number in range(3):
        archived("events", "append", stdin=f'{{"kind":"task-sent","task_id":"{number}"}}')
        archived("archive", "run", "--once", "--archive", "kept")
    done = archived("archive", "compact", "--archive", "kept")
    assert done.code == 0
    assert done.row["files"] > done.row["into"]
    assert archived("archive", "verify", "--archive", "kept").code == 0


def test_a_lost_file_is_found_and_comes_back(archived, tmp_path):
    # given two files, the first of which is lost
    archived("events", "append", stdin='{"kind":"task-sent","task_id":"x"}')
    archived("archive", "run", "--once", "--archive", "kept")
    min(tmp_path.rglob("*.parquet"), key=lambda path: path.name).unlink()
    assert archived("archive", "verify", "--archive", "kept").code == 1

    # when
    done = archived("archive", "repair", "--archive", "kept")
    assert (done.code, done.row) == (0, {"files": 1, "missing": ["0:0"]})
    assert "archive run --once" in done.err
    assert archived("archive", "run", "--once", "--archive", "kept").row["events"] == 10

    # then
    assert archived("archive", "verify", "--archive", "kept").code == 0


def test_a_report_is_one_page_that_needs_nothing_beside_itself_and_runs_nothing(archived, tmp_path):
    # given a name that would like to be more
    archived("events", "append", stdin='{"kind":"task-sent","task_id":"x","name":"<script>alert(1)</script>","queue":"<b>"}')
    archived("archive", "run", "--once", "--archive", "kept")

    # when
    done = archived("archive", "report", "--archive", "kept", "--out", "r.html")

    # then
    page = (tmp_path / "r.html").read_text()
    assert (done.code, done.row["questions"]) == (0, 11)
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert "prefers-color-scheme: dark" in page
    assert page.count("<svg") >= 4
    assert archived("archive", "report", "--archive", "kept", "--out", "no/such/r.html").code == 2
    assert [path.name for path in tmp_path.glob("*.html")] == ["r.html"]


def test_an_archive_is_added_to_an_iceberg_table_once(archived, tmp_path):
    words = ("--archive", "kept", "--catalog", f"sqlite:///{tmp_path}/catalog.db", "--warehouse", f"file://{tmp_path}/warehouse")
    (tmp_path / "warehouse").mkdir()
    assert archived("archive", "iceberg", *words).row == {"table": "eventresults.events", "files": 1, "events": 10, "ends": {"0": 10}}
    assert archived("archive", "iceberg", *words).row["files"] == 0
    assert archived("archive", "iceberg", *words, "--table", "events").code == 1
