"""REST: what is asked, what is answered, and what is refused."""

from __future__ import annotations

import asyncio
import threading

import pytest

from eventresults.domain.events import GroupSaved
from eventresults.errors import Closed, LogUnavailable, TopicMisconfigured, ViewStale
from eventresults.log.memory import MemoryLog
from eventresults.service.web.limits import Limits
from tests.support.events import moment
from tests.support.views import tell_life, until
from tests.unit.service.web.conftest import Web, serving

AWKWARD = ["a/b", "a/history", "with space", "ünïcode", "%2F", "a?b#c", "a+b", "tasks:batch", "…/../x", "\n"]


def problem(answer, status: int, kind: str) -> dict:
    """The problem that an answer must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["status"] == status
    assert said["type"] == f"urn:eventresults:problem:{kind}"
    assert said["title"]
    assert said["detail"]
    return said


def test_a_task_is_told_with_all_that_is_known_of_it(web: Web):
    # given
    web.recorder.sent("t1", name="add", args=[1, 2])
    web.recorder.succeeded("t1", result=3)

    # when
    said = web.get("/api/v1/tasks/t1")

    # then
    assert (said["id"], said["state"], said["name"], said["args"], said["result"]) == ("t1", "SUCCESS", "add", [1, 2], 3)
    assert said["position"].partition(":")[2] == "1"


@pytest.mark.parametrize("task_id", AWKWARD)
def test_any_id_can_be_asked_for_percent_encoded(web: Web, task_id: str):
    from urllib.parse import quote

    # given
    web.recorder.sent(task_id, name="n")

    # when / then
    assert web.get(f"/api/v1/tasks/{quote(task_id, safe='')}")["id"] == task_id
    assert web.get(f"/api/v1/tasks/{quote(task_id, safe='')}/history")["items"][0]["kind"] == "task-sent"


def test_a_write_is_seen_by_a_read_that_begins_after_it(web: Web):
    for number in range(20):
        web.recorder.sent(f"t{number}", name="n").result(5)
        assert web.get(f"/api/v1/tasks/t{number}")["state"] == "PENDING"


def test_an_unknown_task_is_404(web: Web):
    said = problem(web.ask("/api/v1/tasks/nobody"), 404, "unknown-task")
    assert said["id"] == "nobody"
    problem(web.ask("/api/v1/tasks/nobody/history"), 404, "unknown-task")
    problem(web.ask("/api/v1/groups/nobody"), 404, "unknown-group")


@pytest.mark.parametrize("path", ["/api/v1/tasks/%FF", "/api/v1/tasks/" + "x" * 1025])
def test_an_id_that_cannot_be_is_400(web: Web, path: str):
    problem(web.ask(path), 400, "invalid-task-id")


@pytest.mark.parametrize(
    "query",
    [
        "freshness=new", "freshness=0:x", "freshness=9:0", "timeout=-1", "timeout=nan", "timeout=x", "timeout=31",
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_used_is_400(web: Web, query: str):
    web.recorder.sent("t1", name="n")
    problem(web.ask(f"/api/v1/tasks/t1?{query}"), 400, "invalid-parameter")


def test_a_misspelt_parameter_is_refused_and_the_right_one_named(web: Web):
    said = problem(web.ask("/api/v1/tasks?stat=SUCCESS"), 400, "invalid-parameter")
    assert "'state'" in said["detail"]


@pytest.mark.parametrize("path", ["/", "/api/v1/nothing", "/api/v1/tasks/", "/api/v1/tasks/a/b"])
def test_an_address_that_is_nothing_is_404(web: Web, path: str):
    problem(web.ask(path), 404, "not-found")


def test_a_method_that_is_not_there_is_405(web: Web):
    problem(web.ask("/api/v1/tasks/t1", method="DELETE"), 405, "method-not-allowed")


def test_history_tells_every_fact_oldest_first(web: Web):
    # given
    tell_life(web.recorder, ["t1"])

    # when
    items = web.get("/api/v1/tasks/t1/history")["items"]

    # then
    assert [one["kind"] for one in items] == ["task-sent", "task-started", "task-succeeded"]
    assert items[2]["details"]["result"] == "t1"


def test_tasks_are_listed_newest_first_in_pages_that_a_cursor_continues(web: Web):
    # given
    tell_life(web.recorder, [f"t{n}" for n in range(7)])

    # when
    first = web.get("/api/v1/tasks?limit=4")
    second = web.get("/api/v1/tasks", params={"limit": 4, "cursor": first["next_cursor"]})

    # then
    listed = [one["id"] for one in first["items"] + second["items"]]
    assert sorted(listed) == [f"t{n}" for n in range(7)]
    assert [one["born_at"] for one in first["items"]] == sorted((one["born_at"] for one in first["items"]), reverse=True)
    assert second["next_cursor"] is None


def test_a_list_is_narrowed_by_state_name_and_time(web: Web):
    # given
    tell_life(web.recorder, ["done"], name="a")
    web.recorder.sent("open", name="b")

    # when / then
    assert [one["id"] for one in web.get("/api/v1/tasks?state=SUCCESS")["items"]] == ["done"]
    assert [one["id"] for one in web.get("/api/v1/tasks?name=b")["items"]] == ["open"]
    assert web.get("/api/v1/tasks?until=2001-01-01")["items"] == []
    assert len(web.get("/api/v1/tasks?since=2001-01-01T00:00:00Z")["items"]) == 2
    assert len(web.get("/api/v1/tasks?since=978307200000")["items"]) == 2


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "since=yesterday", "until=-", "cursor=nonsense!"])
def test_a_page_that_cannot_be_is_400(web: Web, query: str):
    problem(web.ask(f"/api/v1/tasks?{query}"), 400, "invalid-parameter")


def test_many_tasks_are_read_at_once(web: Web):
    # given
    tell_life(web.recorder, ["a", "b"])

    # when
    said = web.batch(["a", "b", "nobody"]).json()["tasks"]

    # then
    assert {one: task and task["state"] for one, task in said.items()} == {"a": "SUCCESS", "b": "SUCCESS", "nobody": None}


@pytest.mark.parametrize(
    "body", ["", "{}", "[]", '{"ids": []}', '{"ids": [1]}', '{"ids": "a"}', "[" * 100_000, '{"ids": ["' + "x" * 2000 + '"]}']
)
def test_a_batch_that_cannot_be_is_400(web: Web, body: str):
    assert web.ask("/api/v1/tasks:batch", method="POST", content=body).status_code == 400


def test_a_batch_of_too_many_ids_is_400_and_a_body_too_large_is_413():
    with serving(limits=Limits(batch=3, body=200)) as web:
        problem(web.batch(["a"] * 4), 400, "invalid-parameter")
        said = problem(web.batch(["a" * 300]), 413, "body-too-large")
        assert said["limit"] == 200


def test_a_body_that_does_not_come_is_408():
    async def never():
        yield b"{"
        await asyncio.sleep(60)

    with serving(limits=Limits(request_seconds=0.05)) as web:
        problem(web.ask("/api/v1/tasks:batch", method="POST", content=never()), 408, "too-slow")


def test_a_group_is_told(web: Web):
    # given
    web.recorder.append(GroupSaved(group_id="g1", time=moment(1), results=[["g1", None], []])).result(5)

    # when
    said = web.get("/api/v1/groups/g1")

    # then
    assert (said["id"], said["results"]) == ("g1", [["g1", None], []])


class Standstill(MemoryLog):
    """A log whose end lies further than what can be read."""

    def ends(self, partitions, timeout):
        return {partition: end + 5 for partition, end in super().ends(partitions, timeout).items()}


def test_a_view_that_cannot_be_as_fresh_as_asked_is_503_with_its_lag():
    with serving(Standstill()) as web:
        # when
        answer = web.ask("/api/v1/tasks/t1?timeout=0.05")

        # then
        said = problem(answer, 503, "view-stale")
        assert (said["partition"], said["position"], said["end"], said["lag"]) == (0, 0, 5, 5)
        assert answer.headers["retry-after"] == "1"
        # and what is there can be had
        problem(web.ask("/api/v1/tasks/t1?freshness=applied"), 404, "unknown-task")


class Failing:
    """A reader that raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get(self, *_, **__):
        raise self.error


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ViewStale("stale", eta=7.2), 503, "view-stale"),
        (LogUnavailable("gone", url="kafka://h/t", reason="gone"), 503, "log-unavailable"),
        (Closed("closed", what="view"), 503, "closed"),
        (TopicMisconfigured("no topic", topic="t", problems=["missing"]), 500, "topic-misconfigured"),
        (RuntimeError("secret of ours"), 500, "internal-error"),
    ],
)
def test_errors_become_problems(error: Exception, status: int, kind: str):
    with serving(reader=Failing(error)) as web:
        answer = web.ask("/api/v1/tasks/t1")
        said = problem(answer, status, kind)
        assert "secret of ours" not in answer.text
        assert ("retry-after" in answer.headers) == (status == 503)
        for name, value in getattr(error, "facts", {}).items():
            assert said[name] == value


class Stuck:
    """A reader that answers when the test says so."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked = 0

    def get(self, *_, **__):
        self.asked += 1
        assert self.answers.wait(10)


def test_too_many_reads_at_once_are_429_and_the_others_are_answered():
    # given
    stuck = Stuck()
    with serving(reader=stuck, limits=Limits(reading=2, waiting=1)) as web:
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(web.ask("/api/v1/tasks/t1"))) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: web.app._questions.open == 3)

        # when
        answer = web.ask("/api/v1/tasks/t1")

        # then
        problem(answer, 429, "too-many-reads")
        assert answer.headers["retry-after"] == "1"
        stuck.answers.set()
        for thread in threads:
            thread.join(5)
        assert [one.status_code for one in answers] == [404] * 3
        assert web.app._questions.open == 0


def test_a_read_that_takes_too_long_is_503():
    stuck = Stuck()
    with serving(reader=stuck, limits=Limits(request_seconds=0.05)) as web:
        problem(web.ask("/api/v1/tasks/t1"), 503, "too-slow")
        stuck.answers.set()


def test_answers_are_not_cached(web: Web):
    assert web.ask("/api/v1/tasks").headers["cache-control"] == "no-store"
    assert web.ask("/api/v1/tasks/nobody").headers["cache-control"] == "no-store"
