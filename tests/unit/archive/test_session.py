"""What can be asked of an archive in SQL, and what cannot."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from eventresults.archive.archive import Archive
from eventresults.archive.sql.session import Bounds, Session
from eventresults.errors import ArchiveCorrupt, QueryRefused
from tests.support.archives import Clock, append, append_raw, archived, log_records, memory_log
from tests.support.events import (
    EPOCH,
    failed,
    fold,
    forgotten,
    received,
    rejected,
    retried,
    revoke_requested,
    revoked,
    sent,
    started,
    succeeded,
    updated,
)

LIVES = {
    "sent": [sent()],
    "received": [sent(), received()],
    "running": [sent(), received(), started()],
    "observed": [sent(), started(observed=True)],
    "told": [sent(), started(), updated(state="HALF")],
    "done": [sent(name="add", queue="q"), started(worker="w", attempt=1), succeeded(runtime=1.5)],
    "done, then failed": [sent(), started(attempt=1), succeeded(), started(attempt=1), failed()],
    "failed": [sent(), started(attempt=1), failed()],
    "retried": [sent(), started(attempt=1), retried(second=5), started(second=9, attempt=2), succeeded(second=12, runtime=3.0)],
    "waiting": [sent(), started(attempt=1), retried()],
    "revoked": [sent(), revoked()],
    "rejected": [sent(), received(), rejected()],
    "lost": [sent(), started(attempt=1), started(second=8, attempt=2), failed(second=9)],
    "reborn": [sent(), started(), succeeded(), forgotten(), sent(second=6), started(second=7)],
}


@pytest.fixture
def log():
    return memory_log()


@pytest.fixture
def ask(log, tmp_path):
    """Asks the archive of what is in the log by then."""

    def ask(sql, bounds=None, **options):
        archived(log, tmp_path)
        with Session(Archive(tmp_path), bounds=bounds, **options) as session:
            return session.ask(sql)

    return ask


def retold(task_id, life):
    from msgspec.structs import replace

    return [replace(event, task_id=task_id) for event in life]


def test_the_value_of_an_event_is_whole_again(log, ask):
    append(log, retold("done", LIVES["retried"]))
    append_raw(log, [(b"k", b"\xff")])
    values = [row["value"] for row in ask('SELECT value FROM events ORDER BY "offset"').rows]
    assert [json.loads(value) for value in values[:-1]] == [json.loads(record.value) for record in log_records(log)[0][:-1]]
    assert values[-1] is None


@pytest.mark.parametrize("life", LIVES)
def test_a_task_is_what_the_fold_makes_of_it(log, ask, life):
    # given
    append(log, retold(life, LIVES[life]))
    meta = fold(*retold(life, LIVES[life]))

    # when
    (row,) = ask("FROM tasks").rows

    # then
    assert (row["state"], row["attempts"], row["name"], row["error_type"]) == (
        meta.state,
        meta.attempts,
        meta.name,
        None if meta.error is None else meta.error["type"],
    )
    assert row["wait_seconds"] == meta.queue_time


def test_a_task_that_is_forgotten_is_none(log, ask):
    append(log, [*retold("gone", [sent(), succeeded(), forgotten()]), *retold("wanted away", [revoke_requested()])])
    assert ask("FROM tasks").rows == []
    assert len(ask("FROM events").rows) == 4


def test_attempts_tell_of_each_run(log, ask):
    append(log, [*retold("r", LIVES["retried"]), *retold("l", LIVES["lost"]), *retold("open", LIVES["running"])])
    rows = ask("SELECT task_id, attempt, outcome, wait_seconds, run_seconds FROM attempts ORDER BY task_id, attempt").rows
    assert [tuple(row.values()) for row in rows] == [
        ("l", 1, "LOST", 2.0, None),
        ("l", 2, "FAILURE", 8.0, 1.0),
        ("open", 1, None, 2.0, None),
        ("r", 1, "RETRY", 2.0, 3.0),
        ("r", 2, "SUCCESS", 4.0, 3.0),
    ]


def test_only_events_of_the_time_asked_for_are_seen_and_only_their_files_opened(log, tmp_path):
    # given files of two days, the first of which is no longer one
    clock = Clock()
    log = memory_log(clock=clock)
    append(log, [sent(task_id="early")])
    clock.now += 86_400_000
    append(log, [sent(task_id="late")])
    archived(log, tmp_path)
    path = min(tmp_path.rglob("*.parquet"))
    path.write_bytes(b"x" * path.stat().st_size)
    archive = Archive(tmp_path)
    bound = EPOCH.fromtimestamp(clock.now / 1000, EPOCH.tzinfo) - timedelta(hours=1)

    # when / then
    with Session(archive, since=bound) as session:
        assert [row["task_id"] for row in session.ask("FROM tasks").rows] == ["late"]
    with pytest.raises(ArchiveCorrupt, match="cannot be read"), Session(archive, until=bound) as session:
        session.ask("FROM tasks")


def test_an_archive_without_events_answers(log, ask):
    assert ask("SELECT count(*) AS n FROM tasks").rows == [{"n": 0}]


def test_columns_of_one_name_are_told_apart(ask):
    assert ask("SELECT 1 AS a, 2 AS a").rows == [{"a": 1, "a_2": 2}]


def test_an_answer_is_cut_at_the_rows_allowed(ask):
    answer = ask("FROM range(100)", Bounds(rows=10))
    assert (len(answer.rows), answer.cut) == (10, True)
    answer = ask("FROM range(10)", Bounds(rows=10))
    assert (len(answer.rows), answer.cut) == (10, False)


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("", "there is no query in it"),
        ("selct 1", "syntax error"),
        ("SELECT 1; SELECT 2", "one query at a time"),
        ("SELECT nothing FROM events", "nothing"),
        ("DROP VIEW events", "DROP is no question"),
        ("CREATE TABLE x AS SELECT 1", "CREATE is no question"),
        ("COPY (SELECT 1) TO 'stolen.csv'", "COPY is no question"),
        ("ATTACH 'other.db'", "ATTACH is no question"),
        ("INSTALL httpfs", "is no question"),
        ("SET memory_limit = '9GB'", "is no question"),
        ("PRAGMA database_list", "PRAGMA is no question"),
        ("CALL pragma_version()", "CALL is no question"),
        ("FROM read_text('/etc/hostname')", "reaches nothing but the archive"),
        ("FROM read_csv('/etc/hostname')", "reaches nothing but the archive"),
        ("FROM read_parquet('/tmp/*.parquet')", "reaches nothing but the archive"),
        ("FROM glob('/etc/*')", "reaches nothing but the archive"),
        ("FROM 'https://example.invalid/x.parquet'", "reaches nothing but the archive"),
        ("FROM query('COPY (SELECT 1) TO ''stolen.csv''')", "Expected a single SELECT"),
        ("SELECT getenv('HOME')", "getenv"),
        ("FROM log", "does not exist"),
        ("SELECT $missing", "missing"),
    ],
)
def test_what_is_no_question_is_refused(ask, tmp_path, sql, why):
    with pytest.raises(QueryRefused, match=why):
        ask(sql)
    assert not list(tmp_path.rglob("stolen*"))


def test_a_query_that_takes_too_long_is_ended(ask):
    with pytest.raises(QueryRefused, match=r"longer than 0\.05 s"):
        ask("SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range = -1", Bounds(seconds=0.05))


def test_a_query_that_takes_too_much_memory_is_ended(ask):
    bounds = Bounds(memory="20MB", spill="1MB")
    with pytest.raises(QueryRefused, match="--memory"):
        ask("SELECT list(range::VARCHAR || 'xxxxxxxxxxxxxxxxxxxxxxxxx') FROM range(10000000)", bounds)


def test_a_bound_that_is_none_is_refused(ask):
    with pytest.raises(QueryRefused, match="must have a number"):
        ask("SELECT 1", Bounds(memory="much"))
