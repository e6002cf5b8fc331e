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


@pytest.mark.parametrize("words", [("view", "stats"), ("task", "list")])
def test_a_view_of_a_later_version_is_said_to_be_so(appended, words):
    done = appended(*words, "--view", "http://127.0.0.1:1")
    assert done.code == 78
    assert "view" in done.err
