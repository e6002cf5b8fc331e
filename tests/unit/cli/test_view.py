from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest


def test_stats_tell_where_the_view_stands(appended):
    assert appended("task", "list").code == 0
    row = appended("view", "stats").row
    assert row["path"].endswith("events.db.view")
    assert row["generation"] >= 1
    (partition,) = row["partitions"]
    assert (partition["partition"], partition["end"]) == (0, 10)
    assert partition["lag"] == partition["end"] - partition["position"]
    assert "partition" in appended("view", "stats", "-o", "table").out


def test_a_view_can_be_put_elsewhere(appended):
    assert appended("view", "stats", "--view", "other").row["path"].endswith("other")
    assert Path("other").is_dir()


def test_rebuilding_folds_the_whole_log_into_a_new_generation(appended):
    before = appended("view", "stats").row["generation"]
    done = appended("view", "rebuild")
    assert (done.code, done.row["records"]) == (0, 10)
    assert done.row["generation"] > before
    assert appended("task", "show", "ok").row["result"] == {"sum": 3}


def test_a_deleted_view_comes_back_equal(appended):
    before = appended("task", "list").rows
    shutil.rmtree("events.db.view")
    assert appended("task", "list").rows == before
    assert appended("view", "verify").code == 0


def test_verify_says_that_all_is_well(appended):
    done = appended("view", "verify")
    assert (done.code, done.out) == (0, "")
    assert "equals its log" in done.err
    assert json.loads(appended("view", "verify", "-o", "json").out) == {"equal": True, "differences": [], "total": 0}


def test_verify_finds_what_was_altered_in_the_view(appended):
    # given a view that says other things than its log
    from eventresults.codec import rows
    from eventresults.view import keys
    from eventresults.view.rocksdb import RocksStore

    generation = appended("view", "stats").row["generation"]
    assert appended("task", "show", "ok").code == 0
    store = RocksStore(Path("events.db.view") / str(generation) / "0")
    raw = store.get(keys.state("ok"))
    assert raw is not None
    store.commit({keys.state("ok"): rows.encode_task(rows.decode_task(raw).evolve(state="FAILURE"))})
    store.close()

    # when / then
    done = appended("view", "verify")
    assert done.code == 1
    assert [(row["subject"], row["field"], row["live"], row["fresh"]) for row in done.rows] == [("ok", "state", "FAILURE", "SUCCESS")]
    assert "view rebuild" in done.err

    # and a rebuild mends it
    assert appended("view", "rebuild").code == 0
    assert appended("view", "verify").code == 0


def test_a_snapshot_is_taken_and_restored(appended):
    # given
    before = appended("task", "list").rows
    taken = appended("view", "snapshot", "--to", "kept", "--keep", "1")
    assert taken.code == 0
    assert taken.row["bytes"] > 0
    assert Path(taken.row["path"]).parent == Path("kept")
    latest = appended("view", "snapshot", "--to", "kept", "--keep", "1").row["path"]
    assert [str(path) for path in Path("kept").iterdir()] == [latest]

    # when: the view is lost
    shutil.rmtree("events.db.view")
    done = appended("view", "restore", "--from", "kept")

    # then
    assert (done.code, done.row["generation"]) == (0, 1)
    assert appended("task", "list").rows == before
    assert appended("view", "verify").code == 0


def test_a_damaged_snapshot_is_not_restored(appended):
    path = Path(appended("view", "snapshot", "--to", "kept").row["path"])
    (path / "0" / "CURRENT").write_text("garbage")
    done = appended("view", "restore", "--from", "kept")
    assert done.code == 1
    assert "cannot be used" in done.err
    assert appended("view", "stats").row["generation"] == 1


@pytest.mark.parametrize("words", [("rebuild",), ("verify",), ("snapshot", "--to", "kept"), ("restore", "--from", "kept")])
def test_a_view_elsewhere_is_tended_where_it_is(appended, words):
    done = appended("view", *words, "--view", "group")
    assert done.code in (69, 78)
    assert not Path("events.db.view").exists()


def test_there_may_be_no_snapshot(appended):
    Path("kept").mkdir()
    done = appended("view", "restore", "--from", "kept")
    assert done.code == 1
    assert "there is none" in done.err


@pytest.mark.parametrize("words", [("view", "stats"), ("task", "list")])
def test_a_view_service_that_is_not_there_is_said_to_be_so(appended, words):
    done = appended(*words, "--view", "http://127.0.0.1:1")
    assert done.code == 69
    assert "No view service answers" in done.err
