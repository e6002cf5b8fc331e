from __future__ import annotations

import json

import pytest

from eventresults.codec.schema import json_schema
from eventresults.config import Settings
from eventresults.domain.events import EVENT_CLASSES


def test_config_show_tells_each_value_and_its_source(shell, monkeypatch):
    monkeypatch.setenv("EVENTRESULTS_LINGER_MS", "7")
    rows = {row["name"]: row for row in shell("config", "show", "--url", "kafka://ann:hunter2@h/t").rows}
    assert list(rows) == list(Settings.model_fields)
    assert (rows["linger_ms"]["value"], rows["linger_ms"]["source"]) == ("7", "EVENTRESULTS_LINGER_MS")
    assert (rows["url"]["value"], rows["url"]["source"]) == ("kafka://ann:***@h:9092/t", "argument")
    assert rows["sasl_password"]["value"] == "***"
    assert rows["result_expires"]["value"] == "7d"


@pytest.mark.parametrize("output", ["table", "json", "jsonl"])
def test_config_show_never_shows_a_password(shell, output):
    done = shell("config", "show", "--url", "kafka://ann:hunter2@h/t?ssl_password=hunter2", "-o", output)
    assert done.code == 0
    assert "hunter2" not in done.out + done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--url", "redis://ann:hunter2@h"), "no log has the scheme"),
        (("--url", "kafka://h/t?linger=5"), "did you mean 'linger_ms'?"),
        (("--url", "memory://?partitions=none"), "partitions='none' (URL)"),
    ],
)
def test_wrong_configuration_is_one_line_and_78(shell, arguments, said):
    for words in (("config", "show"), ("task", "list"), ("events", "cat"), ("view", "stats"), ("topic", "check")):
        done = shell(*words, *arguments)
        assert (done.code, done.out) == (78, "")
        assert done.err.startswith("Error: ")
        assert done.err.count("\n") == 1
        assert said in done.err
        assert "hunter2" not in done.err


def test_the_traceback_is_shown_on_request_only(shell, monkeypatch):
    assert "Traceback" not in shell("config", "show", "--url", "redis://h").err
    monkeypatch.setenv("EVENTRESULTS_DEBUG", "1")
    assert "Traceback" in shell("config", "show", "--url", "redis://h").err


def test_the_schema_has_every_kind_with_its_required_fields():
    schema = json_schema()
    kinds = {part["properties"]["kind"]["const"]: part for name, part in schema["$defs"].items() if name != "wire"}
    assert set(kinds) == set(EVENT_CLASSES)
    assert {"task_id", "time", "state"} <= set(kinds["task-updated"]["required"])
    assert "group_id" in kinds["group-saved"]["required"]
    assert all("additionalProperties" not in part for part in kinds.values())


def test_the_schema_is_exported_as_json(shell):
    done = shell("schema", "export", "-o", "json")
    assert (done.code, json.loads(done.out)) == (0, json_schema())


def test_a_log_without_a_topic_needs_none(shell):
    done = shell("topic", "init")
    assert (done.code, done.row["partitions"]) == (0, 1)
    done = shell("topic", "check")
    assert (done.code, done.out) == (0, "")


def test_doctor_looks_at_everything(appended):
    done = appended("doctor")
    found = {row["check"]: row["status"] for row in done.rows}
    assert {"Python", "dependencies", "configuration", "client", "log", "clock", "topic", "view", "disk"} <= set(found)
    assert done.code == (1 if "fail" in found.values() else 0)
    assert found["log"] == found["view"] == "ok"


def test_doctor_tells_of_a_wrong_configuration_and_of_a_log_that_cannot_be_opened(shell, tmp_path):
    done = shell("doctor", "--url", "redis://h")
    assert done.code == 1
    assert {row["check"]: row["status"] for row in done.rows}["configuration"] == "fail"
    (tmp_path / "file").write_text("no database")
    done = shell("doctor", "--url", "sqlite:///file/events.db")
    assert done.code == 1
    assert {row["check"]: row["status"] for row in done.rows}["log"] == "fail"


def test_doctor_warns_of_records_from_the_future(appended):
    import sqlite3

    with sqlite3.connect("events.db") as database:
        database.execute("UPDATE records SET log_time = 4000000000000 WHERE offset = 9")
    database.close()
    (clock,) = (row for row in appended("doctor").rows if row["check"] == "clock")
    assert clock["status"] == "warn"
    assert "NTP" in clock["advice"]


@pytest.mark.parametrize("words", [(), ("task",), ("events",), ("topic",), ("view",), ("schema",), ("config",)])
def test_a_noun_alone_answers_with_its_help(shell, words):
    done = shell(*words)
    assert done.code == 2
    assert "Commands:" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("task", "shwo"), "No such command"),
        (("task", "show"), "Missing argument"),
        (("task", "list", "--limit", "0"), "--limit"),
        (("task", "list", "--since", "yesterday"), "write 2026-11-22"),
        (("task", "wait", "x", "--timeout", "soon"), "30s"),
        (("events", "tail", "--from", "9:0"), "no partition 9"),
        (("task", "list", "-o", "xml"), "table"),
    ],
)
def test_wrong_usage_is_one_line_and_2(shell, words, said):
    done = shell(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: ")
    assert done.err.count("\n") == 1
    assert said in done.err
