"""A request to revoke is in the log before anybody hears of it by the broker."""

from __future__ import annotations

import pytest
from celery.app.control import Control as CeleryControl
from kombu.exceptions import OperationalError

from eventresults import AsyncResult
from eventresults.contrib.celery.control import Control, stamped_id
from tests.support.celery_apps import celery_app, history


def one():
    return 1


@pytest.fixture
def app():
    with celery_app("control") as app:
        yield app


@pytest.fixture
def heard(app, monkeypatch):
    """What Celery's own control would have told the workers."""
    heard = []
    monkeypatch.setattr(CeleryControl, "broadcast", lambda *args, **_: heard.append(args[1:3]))
    return heard


def requested(app, task_id):
    return [
        (fact.terminate, fact.signal)
        for fact in app.backend.home.reader.history(task_id)
        for fact in [fact.event]
        if fact.kind == "task-revoke-requested"
    ]


def test_the_control_of_an_app_is_ours_once_its_backend_is_made(app):
    assert isinstance(app.control, Control)
    assert app.control.records_revokes


def test_a_control_that_is_made_already_or_is_another_s_is_left_alone():
    class Special(CeleryControl):
        pass

    with celery_app("special") as special:
        special.control_cls = Special
        type(special.backend)(special, url="memory://")
        assert type(special.control) is Special


@pytest.mark.parametrize(
    ("ask", "terminate"),
    [
        (lambda app: app.control.revoke("t1"), False),
        (lambda app: app.control.revoke(["t1", "t2"], terminate=True, signal="SIGKILL"), True),
        (lambda app: app.control.terminate("t1", signal="SIGKILL"), True),
        (lambda app: app.AsyncResult("t1").revoke(), False),
        (lambda app: AsyncResult("t1", app=app).revoke(), False),
        (lambda app: app.control.broadcast("terminate", arguments={"signal": "SIGKILL", "task_id": ["t1"]}), True),
    ],
)
def test_a_request_is_recorded_once_and_passed_on(app, heard, ask, terminate):
    # when
    ask(app)

    # then
    [(command, arguments)] = heard
    assert command in {"revoke", "terminate"}
    assert "t1" in arguments["task_id"]
    [(told, signal)] = requested(app, "t1")
    assert told is terminate
    assert signal == arguments["signal"]


def test_a_request_alone_makes_no_task(app, heard):
    app.control.revoke("t1")

    assert heard
    assert not app.backend.task_result_exists("t1")
    assert app.AsyncResult("t1").state == "PENDING"
    assert [row.subject for row in app.backend.home.reader.opened("revoke").items] == ["t1"]


def test_a_request_by_stamps_is_recorded_under_an_id_of_its_own(app, heard):
    # when
    app.control.revoke_by_stamped_headers({"tenant": ["blue", 7], "day": "monday"})

    # then
    assert heard[0][0] == "revoke_by_stamped_headers"
    stamps = {"tenant": ["blue", 7], "day": ["monday"]}
    [row] = app.backend.home.reader.opened("revoke").items
    assert (row.subject, row.facts["stamps"]) == (stamped_id(stamps), stamps)


def test_a_request_is_recorded_also_where_the_broker_fails(app, monkeypatch):
    # given
    def fail(*_, **__):
        raise OperationalError("away")

    monkeypatch.setattr(CeleryControl, "broadcast", fail)

    # when
    with pytest.raises(OperationalError):
        app.control.revoke("t1")

    # then
    assert requested(app, "t1") == [(False, "SIGTERM")]


def test_what_is_asked_of_some_workers_alone_binds_no_others(app, heard):
    app.control.revoke("t1", destination=["celery@there"])

    assert heard
    assert requested(app, "t1") == []


def test_other_commands_pass_by(app, heard):
    app.control.rate_limit("add", "1/s")

    assert heard
    assert app.backend.home.reader.opened("revoke").items == []


def test_recording_can_be_turned_off():
    with celery_app("forgetful", durable_revokes=False) as app:
        assert type(app.control) is CeleryControl


def test_an_id_that_the_log_cannot_hold_is_passed_on_all_the_same(app, heard):
    app.control.revoke(["x" * 2_000, "t1"])

    assert heard[0][1]["task_id"] == ["x" * 2_000, "t1"]
    assert [fact.kind for fact in history(app, "t1")] == ["task-revoke-requested"]
