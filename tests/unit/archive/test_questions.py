"""The saved questions, asked of a small day whose answers are known."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from eventresults.archive.archive import Archive
from eventresults.archive.sql.question import find
from eventresults.archive.sql.questions import QUESTIONS
from eventresults.archive.sql.session import Session
from eventresults.errors import QueryRefused
from tests.support.archives import Clock, append, archived, memory_log
from tests.support.events import failed, retried, sent, started, succeeded

BOOM = {"type": "Boom", "module": "shop", "message": "card 17 declined", "args": []}


def life(task_id, *events, name="add", queue="q"):
    return [replace(event, task_id=task_id, **({"name": name, "queue": queue} if event.kind == "task-sent" else {})) for event in events]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    clock = Clock()
    log = memory_log(clock=clock)
    append(log, life("a", sent(), started(worker="w1", attempt=1), succeeded(runtime=2.0, worker="w1", result="x" * 100)))
    append(log, life("b", sent(), started(second=4, worker="w1", attempt=1), succeeded(second=10, runtime=6.0, worker="w1", result=1)))
    append(
        log, life("f", sent(), started(worker="w2", attempt=1), failed(error=BOOM, traceback=None, runtime=1.0, worker="w2"), name="pay")
    )
    again = BOOM | {"message": "card 18 declined"}
    append(log, life("g", sent(), started(attempt=1), retried(error=again, traceback=None), started(second=90, attempt=2), name="pay"))
    append(log, life("twice", sent(), started(attempt=1), succeeded(), started(second=5, attempt=1), succeeded(second=6)))
    clock.now += 7_200_000
    append(log, life("end", sent()))
    place = tmp_path_factory.mktemp("archive")
    archived(log, place)
    with Session(Archive(place)) as session:
        yield session


def answer(session, name, **told):
    question = find(name, QUESTIONS)
    return session.ask(question.sql, question.values({name: str(value) for name, value in told.items()})).rows


def test_runtime_percentiles(session):
    rows = answer(session, "runtime-percentiles")
    assert [(row["name"], row["runs"], row["p50"], row["longest"]) for row in rows] == [("add", 2, 4.0, 6.0), ("pay", 1, 1.0, 1.0)]


def test_queue_wait(session):
    (row,) = answer(session, "queue-wait")
    assert (row["queue"], row["tasks"], row["p50"], row["longest"]) == ("q", 5, 2.0, 4.0)
    assert len(answer(session, "queue-wait", bucket="1 day")) == 1


def test_retry_rate(session):
    rows = {row["name"]: (row["tasks"], row["retried"], row["retries"], row["rate"]) for row in answer(session, "retry-rate")}
    assert rows == {"pay": (2, 1, 1, 0.5), "add": (4, 0, 0, 0.0)}


def test_failure_clusters_put_together_what_has_one_cause(session):
    (row,) = answer(session, "failure-clusters")
    assert (row["failures"], row["tasks"], row["first_seen"] <= row["last_seen"]) == (2, 2, True)
    assert row["cluster"].startswith("Boom ")


def test_worker_skew(session):
    rows = answer(session, "worker-skew")
    assert [(row["worker"], row["runs"], row["busy_seconds"], row["failure_rate"]) for row in rows] == [
        ("w1", 2, 8.0, 0.0),
        ("w2", 1, 1.0, 1.0),
    ]
    assert rows[0]["load"] == pytest.approx(8 / 4.5)


def test_sla_misses(session):
    rows = answer(session, "sla-misses", sla=7)
    assert {row["name"]: (row["tasks"], row["misses"]) for row in rows} == {
        "add": (4, 2),
        "pay": (2, 1),
    }  # b took 10 s, and end has not ended


def test_orphans(session):
    assert [row["task_id"] for row in answer(session, "orphans")] == ["g"]
    assert {row["task_id"] for row in answer(session, "orphans", silent=0)} == {"g", "end"}


def test_peak_concurrency(session):
    (row,) = answer(session, "peak-concurrency")
    assert row["peak"] == 4  # a, f, g and twice


def test_duplicate_executions(session):
    (row,) = answer(session, "duplicate-executions")
    assert (row["task_id"], row["successes"], row["starts"], row["attempts"]) == ("twice", 2, 2, 1)


def test_heavy_results(session):
    (row,) = answer(session, "heavy-results")
    assert (row["name"], row["results"], row["largest"], row["example"]) == ("add", 4, 102, "a")


def test_throughput(session):
    assert {row["state"]: row["tasks"] for row in answer(session, "throughput")} == {"SUCCESS": 4, "FAILURE": 1}


def test_every_question_says_what_it_means_and_draws_what_it_answers(session):
    for question in QUESTIONS:
        found = session.ask(question.sql, question.values({}))
        chart = question.chart
        assert question.meaning.endswith(".")
        assert {chart.label, chart.value, chart.series or chart.label} <= set(found.columns), question.name


def test_what_a_question_does_not_take_is_refused():
    with pytest.raises(QueryRefused, match=r"There is no question 'x'\. Ask one of: throughput"):
        find("x", QUESTIONS)
    with pytest.raises(QueryRefused, match=r"does not take speed: it takes sla=60\.0"):
        find("sla-misses", QUESTIONS).values({"speed": "1"})
    with pytest.raises(QueryRefused, match="takes a float as sla"):
        find("sla-misses", QUESTIONS).values({"sla": "long"})
