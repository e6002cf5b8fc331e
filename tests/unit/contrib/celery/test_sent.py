"""That a task was sent: whose it is, what is told of it, and what comes before it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery, chain, group
from celery.signals import before_task_publish
from kombu.exceptions import OperationalError

from eventresults import AsyncResult
from eventresults.contrib.celery.sent import following
from tests.support.celery_apps import celery_app, history, kinds, run


def plus(x, y):
    return x + y


@pytest.fixture
def app():
    with celery_app() as app:
        yield app


@pytest.fixture
def add(app):
    return app.task(shared=False, name="add")(plus)


@pytest.fixture
def extended():
    with celery_app("extended") as app:
        app.conf.result_extended = True
        yield app


def told(app, task_id):
    """The one fact of a task, that it was sent."""
    [sent] = history(app, task_id)
    assert sent.kind == "task-sent"
    return sent


def test_a_task_exists_right_after_delay(app, add):
    result = add.delay(1, 2)

    assert AsyncResult(result.id, app=app).exists()
    assert app.backend.task_result_exists(result.id)
    assert result.state == "PENDING"
    assert kinds(app, result.id) == ["(sent)"]


def test_a_task_is_told_of_with_what_its_message_says(app, add):
    # given
    eta = datetime(2030, 1, 1, tzinfo=UTC)

    # when
    result = add.apply_async((1, 2), eta=eta, expires=eta + timedelta(hours=1), queue="heavy", retries=2, ignore_result=False)

    # then
    sent = told(app, result.id)
    assert (sent.name, sent.queue, sent.retries, sent.ignore_result) == ("add", "heavy", 2, False)
    assert (sent.eta, sent.expires) == (eta, eta + timedelta(hours=1))
    assert (sent.root_id, sent.parent_id, sent.previous_id, sent.group_id) == (result.id, None, None, None)
    assert (sent.args, sent.kwargs) == (None, None)


def test_whether_the_result_of_a_task_is_ignored_is_unknown_to_who_sends_it_by_name(app):
    result = app.send_task("elsewhere.add", (1, 2))

    assert told(app, result.id).ignore_result is None


def test_the_first_protocol_is_understood(app, add):
    # given
    app.conf.task_protocol = 1

    # when
    result = add.apply_async((1, 2), countdown=60)

    # then
    sent = told(app, result.id)
    assert (sent.name, sent.retries, sent.root_id) == ("add", 0, None)
    assert timedelta(seconds=50) < sent.eta - datetime.now(UTC) < timedelta(seconds=61)


def test_the_log_is_on_its_way_before_the_message_is(app, add):
    """Whoever takes the message is not to be faster than a log that opens."""
    opened = []

    def publishing(**_):
        opened.append(app.backend.opened)

    before_task_publish.connect(publishing)

    add.delay(1, 2)

    assert opened == [True]


def test_a_message_that_was_not_published_leaves_no_fact(app, add, monkeypatch):
    # given
    def refuse(*_, **__):
        raise OperationalError("away")

    monkeypatch.setattr("kombu.Producer.publish", refuse)

    # when
    with pytest.raises(OperationalError):
        add.apply_async((1, 2), task_id="t1")

    # then
    assert kinds(app, "t1") == []


def test_each_task_is_told_of_where_its_result_will_be(app, add):
    with celery_app("other") as other:
        # given
        theirs = other.task(shared=False, name="add")(plus)

        # when
        result, their_result = add.delay(1, 2), theirs.delay(1, 2)

        # then
        assert [kinds(app, result.id), kinds(other, result.id)] == [["(sent)"], []]
        assert [kinds(app, their_result.id), kinds(other, their_result.id)] == [[], ["(sent)"]]


def test_threads_that_publish_at_once_do_not_mix_their_tasks_up(app, add):
    with celery_app("other") as other:
        # given
        theirs = other.task(shared=False, name="add")(plus)
        ids = {add: [], theirs: []}

        # when
        threads = [
            threading.Thread(target=lambda task=task: ids[task].extend(task.delay(1, 2).id for _ in range(20)))
            for task in (add, theirs, add, theirs)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        # then
        for mine, tasks, not_mine in ((app, ids[add], other), (other, ids[theirs], app)):
            assert all(kinds(mine, task_id) == ["(sent)"] for task_id in tasks)
            assert not any(kinds(not_mine, task_id) for task_id in tasks)


def test_a_task_of_another_backend_is_none_of_ours(app, add):
    with Celery("plain", broker="memory://plain", backend="cache+memory://", set_as_current=False) as plain:
        # given
        assert app.backend.options.observe

        # when
        result = plain.task(shared=False, name="add")(plus).delay(1, 2)

        # then
        assert kinds(app, result.id) == []


# Arguments


def test_arguments_are_told_where_results_are_extended(extended):
    # when
    result = extended.task(shared=False, name="add")(plus).apply_async((1,), {"y": 2.5})

    # then
    known = AsyncResult(result.id, app=extended)
    assert (known.args, known.kwargs) == ([1], {"y": 2.5})


def test_a_repr_that_the_caller_gave_stands_in_the_place_of_arguments(extended):
    # given
    task = extended.task(shared=False, name="add")(plus)

    # when
    result = task.apply_async(("secret",), {"y": "hidden"}, argsrepr="(***,)", kwargsrepr="{***}")
    run(task, "secret", "hidden", task_id=result.id, argsrepr="(***,)")

    # then
    known = AsyncResult(result.id, app=extended)
    assert (known.args, known.kwargs) == ("(***,)", "{***}")
    assert told_flags(extended, result.id) == ("given", "given")
    assert "secret" not in repr([fact for fact in history(extended, result.id) if fact.kind != "task-succeeded"])
    assert extended.AsyncResult(result.id).args == "(***,)"


def test_the_repr_that_celery_makes_by_itself_stands_in_no_place(extended):
    # given
    task = extended.task(shared=False, name="add")(plus)

    # when: the worker has lists where the caller had tuples
    task_id = run(task, [1, [2]], [3], argsrepr="((1, (2,)), (3,))")

    # then
    assert extended.AsyncResult(task_id).args == [[1, [2]], [3]]


@pytest.mark.parametrize(("value", "flag"), [("x" * 70_000, "too-large"), (object(), "not-encodable")], ids=["large", "strange"])
def test_arguments_that_cannot_be_told_become_their_repr_with_a_flag(extended, value, flag):
    # given: a broker that takes anything
    extended.conf.task_serializer = "pickle"
    task = extended.task(shared=False, name="add")(plus)

    # when
    result = task.delay(value, 1)

    # then
    assert told_flags(extended, result.id) == (flag, None)
    assert isinstance(AsyncResult(result.id, app=extended).args, str)
    assert len(told(extended, result.id).args["repr"]) < 2_000


def told_flags(app, task_id):
    sent = history(app, task_id)[0]
    return sent.args.get("flag"), sent.kwargs.get("flag")


# What comes before


def previous(app, task_id):
    return history(app, task_id)[0].previous_id


def chain_of(signature):
    """The rest of a chain, as the message of its first task carries it: the last first."""
    return [dict(one) for one in reversed(signature.tasks[1:])]


def test_each_task_of_a_chain_follows_the_one_before(app, add):
    # given
    whole = chain(add.s(1, 1), add.s(2), add.s(3))
    last = whole.freeze()

    # when
    first = whole.tasks[0].options["task_id"]
    rest = chain_of(whole)
    run(add, 1, 1, task_id=first, chain=rest)
    second = last.parent.id

    # then
    assert previous(app, second) == first
    assert history(app, second)[0].parent_id == first
    assert AsyncResult(second, app=app).parent.id == first


def test_a_link_and_a_task_sent_by_a_task_follow_nothing_in_a_chain(app, add):
    # given
    sent = []

    def send():
        sent.append(add.delay(1, 2).id)

    link = add.s(1)
    link.freeze("linked")

    # when
    task_id = run(app.task(shared=False, name="send")(send), callbacks=[dict(link)])

    # then
    for child in (sent[0], "linked"):
        assert (previous(app, child), history(app, child)[0].parent_id) == (None, task_id)


def test_members_of_a_group_follow_nothing(app, add):
    # given
    header = group(add.s(1), add.s(2))
    whole = chain(add.s(1, 1), header)
    result = whole.freeze()

    # when
    run(add, 1, 1, task_id="first", chain=chain_of(whole))

    # then
    for index, member in enumerate(result.results):
        [sent] = history(app, member.id)
        assert (sent.group_id, sent.group_index, sent.previous_id, sent.parent_id) == (result.id, index, None, "first")


def test_the_body_of_a_chord_follows_its_header(app, add):
    # given
    body = add.s(1)
    body.freeze("body")

    # when: the task that completes the header sends the body
    def complete():
        body.apply_async(([1],), task_id="body")

    run(app.task(shared=False, name="complete", ignore_result=True)(complete), group="g1", chord=dict(body))

    # then
    assert previous(app, "body") == "g1"


def test_who_knows_what_comes_before_says_so(app, add):
    with following("g1"):
        result = add.delay(1, 2)

    assert previous(app, result.id) == "g1"


def test_a_task_that_is_replaced_or_tried_again_is_not_its_own_ancestor(app, add):
    # given
    def replace(self):
        self.replace(add.s(1, 2))

    # when
    task_id = run(app.task(shared=False, name="replace", bind=True)(replace), group="g1")

    # then
    sent = history(app, task_id)[1]
    assert (sent.kind, sent.name, sent.parent_id, sent.previous_id) == ("task-sent", "add", None, None)
    assert kinds(app, task_id) == ["(started)", "(sent)", "(updated)"]


# Waiting for the log


def test_delay_returns_when_the_log_has_it_where_that_is_asked_for():
    with celery_app("durable", sent_durable=True) as app:
        # when
        app.task(shared=False, name="add")(plus).apply_async((1, 2), task_id="t1")

        # then
        assert app.backend.tracker.log.info(1).ends == {0: 1}
