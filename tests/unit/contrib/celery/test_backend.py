"""Storing and reading as Celery's backends do, and what the log makes true beyond."""

from __future__ import annotations

import gc
import os
import pickle
import sys
from datetime import timedelta
from uuid import uuid4

import pytest
from celery import Celery, current_app, states
from celery.app.task import Context
from celery.backends.base import BaseBackend
from celery.exceptions import ImproperlyConfigured, SecurityError, TaskRevokedError

import eventresults
from eventresults.contrib.celery import EventResultsBackend
from eventresults.contrib.celery.backend import PASSING
from eventresults.errors import AppendTimeout, ConfigError, ValueTooLarge
from tests.support.celerybench import bench


@pytest.fixture
def desk():
    with bench(result_accept_content=["json", "pickle"]) as desk:
        yield desk


@pytest.fixture
def backend(desk):
    return desk.backend


def request(**fields):
    return Context({"id": str(uuid4()), "delivery_info": {"routing_key": "q"}, "hostname": "w@host", "task": "shop.bill", **fields})


def test_celery_makes_it_of_a_url():
    app = Celery("shop", backend="eventresults+memory://", set_as_current=False)

    assert isinstance(app.backend, EventResultsBackend)
    assert app.backend.as_uri() == "eventresults+memory://"


def test_no_password_is_shown_unless_asked_for():
    app = Celery("shop", backend="eventresults+kafka://ann:secret@broker:9092/topic", set_as_current=False)

    assert "secret" not in app.backend.as_uri()
    assert "secret" in app.backend.as_uri(include_password=True)


@pytest.mark.parametrize("url", ["eventresults+kafka://", "eventresults+redis://h", "eventresults+sqlite:///x?own=maybe"])
def test_a_wrong_url_is_refused_when_the_backend_is_made(url):
    app = Celery("shop", backend=url, set_as_current=False)

    with pytest.raises(ConfigError):
        _ = app.backend


def test_what_is_stored_is_there_when_store_result_returns(desk, backend):
    backend.store_result("t", {"rows": 3}, states.SUCCESS)

    assert backend.get_task_meta("t", cache=False)["result"] == {"rows": 3}
    assert eventresults.AsyncResult("t", app=desk.app).result == {"rows": 3}


def test_the_meta_is_that_of_celerys_own_backends(desk, backend):
    # given
    desk.app.conf.result_extended = True
    desk.app.conf.timezone = "Asia/Tokyo"
    asked = request(
        args=(1, 2), kwargs={"x": 3}, retries=2, group="g", parent_id="p", stamps={"tenant": "blue", "other": 1}, stamped_headers=["tenant"]
    )
    celerys = BaseBackend(desk.app)._get_result_meta({"rows": 3}, states.SUCCESS, None, asked)

    # when
    backend.store_result("t", {"rows": 3}, states.SUCCESS, request=asked)

    # then
    meta = backend.get_task_meta("t", cache=False)
    assert meta.keys() == celerys.keys() | {"task_id"}
    differing = {name for name in celerys if meta[name] != celerys[name]}
    assert differing == {"date_done", "args"}  # another moment; JSON has no tuples
    assert meta["args"] == [1, 2]
    assert meta["date_done"].endswith("+09:00")


@pytest.mark.parametrize("state", [states.SUCCESS, states.FAILURE, states.REVOKED, states.RETRY, states.STARTED, "PROGRESS"])
def test_a_store_that_is_tried_again_counts_once(backend, state):
    result = {"pid": 7, "hostname": "w"} if state == states.STARTED else ValueError("no") if state in states.EXCEPTION_STATES else 1
    for _ in range(2):
        backend.store_result("t", result, state, event_id="f" * 32)

    assert len(backend.tracker.history("t")) == 1


def test_a_success_stays(backend):
    backend.store_result("t", 1, states.SUCCESS)
    backend.store_result("t", ValueError("late"), states.FAILURE)
    backend.store_result("t", 2, states.SUCCESS)

    assert backend.get_task_meta("t", cache=False)["result"] == 1


def test_where_a_task_runs_is_told_as_celery_does(backend):
    backend.mark_as_started("t", pid=4711, hostname="w@host")

    meta = backend.get_task_meta("t")
    assert (meta["status"], meta["result"]) == ("STARTED", {"pid": 4711, "hostname": "w@host"})


@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_an_exception_comes_back_as_itself(serializer):
    with bench(result_serializer=serializer, result_accept_content=["json", "pickle"]) as desk:
        desk.backend.mark_as_failure("t", KeyError("brown", 3), traceback="Traceback …")

        meta = desk.backend.get_task_meta("t")
        assert (type(meta["result"]), meta["result"].args, meta["traceback"]) == (KeyError, ("brown", 3), "Traceback …")


def test_an_exception_is_in_the_log_for_those_without_celery_too(backend):
    backend.mark_as_failure("t", KeyError("brown", 3))

    [fact] = backend.tracker.history("t")
    assert {name: fact.error[name] for name in ("type", "module", "args")} == {
        "type": "KeyError",
        "module": "builtins",
        "args": ["brown", 3],
    }
    assert fact.error["payload"]["body"] == {"exc_type": "KeyError", "exc_message": ["brown", 3], "exc_module": "builtins"}


@pytest.mark.parametrize(
    "meta", [{"custom": 1}, "text", ["a", 1], None, {"exc_type": "ValueError", "exc_message": "x", "more": 2}], ids=repr
)
def test_a_failure_may_be_given_any_meta(backend, meta):
    backend.store_result("t", meta, states.FAILURE)

    read = backend.get_task_meta("t")
    assert read["status"] == states.FAILURE
    assert isinstance(read["result"], BaseException) or meta is None


def test_a_forged_exception_runs_nothing(desk, backend, tmp_path):
    recorder = backend.home.recorder
    forged = {"exc_type": "system", "exc_message": f"touch {tmp_path}/owned", "exc_module": "os"}
    recorder.failed(
        "t", error={"type": "system", "module": "os", "message": "", "args": [], "payload": backend.payloads.encode(forged)}
    ).result(5)
    assert "os" in sys.modules

    with pytest.raises(SecurityError):
        desk.app.AsyncResult("t").get(timeout=5)
    assert not (tmp_path / "owned").exists()


def test_a_pickle_is_refused_where_it_is_not_accepted(desk):
    with bench(result_serializer="pickle", result_accept_content=["pickle"]) as writer:
        writer.backend.store_result("t", {1, 2}, states.SUCCESS)
        [fact] = writer.backend.tracker.history("t")
    desk.backend.accept = {"application/json"}
    with bench() as strict:
        strict.backend.record(fact)
        with pytest.raises(Exception, match="pickle"):
            strict.app.AsyncResult("t").get(timeout=5)


def test_a_revoked_task_tells_why(desk, backend):
    backend.mark_as_revoked("t", "too late")

    with pytest.raises(TaskRevokedError, match="too late"):
        desk.app.AsyncResult("t").get(timeout=5)


def test_three_mebibytes_come_back(backend):
    text = "é" * (3 * 512 * 1024)
    backend.store_result("t", text, states.SUCCESS)

    assert backend.get_result("t") == text


def test_what_is_over_the_limit_is_refused_by_name():
    with bench(result_backend_transport_options={"max_value_bytes": 1000}) as desk, pytest.raises(ValueTooLarge, match="max_value_bytes"):
        desk.backend.store_result("t", "x" * 2000, states.SUCCESS)


def test_an_id_may_be_a_number(desk, backend):
    backend.store_result(7, "seven", states.SUCCESS)

    assert desk.app.AsyncResult(7).get(timeout=5) == "seven"
    assert desk.app.AsyncResult("7").result == "seven"


def test_a_task_exists_until_it_is_forgotten(desk, backend):
    result = desk.app.AsyncResult("t")
    assert not result.exists()
    backend.store_result("t", None, "PENDING")
    assert result.exists()

    result.forget()

    assert not result.exists()
    assert result.state == "PENDING"


def test_results_expire_as_the_app_that_wrote_them_says():
    with bench(result_expires=timedelta(hours=1), result_failure_expires=60) as desk:
        desk.backend.store_result("s", 1, states.SUCCESS)
        desk.backend.store_result("f", ValueError(), states.FAILURE)

        assert [desk.backend.tracker.history(one)[0].result_expires for one in ("s", "f")] == [3600, 60]


def test_results_may_stay_for_ever():
    with bench(result_expires=None) as desk:
        desk.backend.store_result("s", 1, states.SUCCESS)

        assert desk.backend.tracker.read("s").expires_at is None


def test_a_group_is_saved_restored_and_deleted(desk):
    nested = desk.app.GroupResult("inner", [desk.app.AsyncResult("c")], parent=desk.app.AsyncResult("p"))
    group = desk.app.GroupResult("g", [desk.app.AsyncResult("a"), desk.app.AsyncResult("b"), nested])
    group.save()

    restored = desk.app.GroupResult.restore("g")
    assert restored == group
    assert restored.as_tuple() == group.as_tuple()

    group.delete()
    assert desk.app.GroupResult.restore("g") is None


def test_a_task_may_return_a_result_of_ours(desk, backend):
    ours = eventresults.AsyncResult("child", app=desk.app)
    backend.mark_as_done("t", ours)

    assert backend.get_result("t") == [["child", None], None]


def test_children_are_told(desk, backend):
    asked = request()
    asked._children = [desk.app.AsyncResult("c1"), desk.app.GroupResult("g1", [desk.app.AsyncResult("c2")])]
    backend.store_result("t", 1, states.SUCCESS, request=asked)

    children = desk.app.AsyncResult("t").children
    assert [type(child).__name__ for child in children] == ["AsyncResult", "GroupResult"]
    assert children[1].results == ["c2"]


def test_it_pickles_with_results_and_is_the_apps_own_again(desk):
    before = current_app._get_current_object()
    desk.app.set_current()
    try:
        result = pickle.loads(pickle.dumps(desk.app.AsyncResult("t")))
        assert pickle.loads(pickle.dumps(desk.backend)) is desk.backend
        assert result.backend is desk.backend
    finally:
        before.set_current()


def test_what_passes_may_be_tried_again(backend):
    assert backend.exception_safe_to_retry(AppendTimeout("x"))
    assert not backend.exception_safe_to_retry(ValueTooLarge("x"))
    assert all(backend.exception_safe_to_retry(error("x")) for error in PASSING)


def test_a_log_in_memory_is_refused_in_a_forked_child(monkeypatch):
    app = Celery("shop", backend="eventresults+memory://", set_as_current=False)
    backend = app.backend
    monkeypatch.setattr(os, "getpid", lambda: backend._made_in + 1)

    with pytest.raises(ImproperlyConfigured, match="--pool threads"):
        backend.store_result("t", 1, states.SUCCESS)


def test_the_apps_of_a_process_share_one_tracker_if_they_have_the_same_settings():
    # given
    shared, other = (f"eventresults+memory://{uuid4().hex}" for _ in range(2))
    apps = [Celery(name, backend=url, set_as_current=False) for name, url in (("a", shared), ("b", shared), ("c", other))]
    one, same, different = (app.backend for app in apps)
    try:
        # then
        assert one.tracker is same.tracker
        assert one.home is not same.home
        assert different.tracker is not one.tracker

        # and once it is closed, another is made
        one.tracker.close()
        apps.append(Celery("d", backend=shared, set_as_current=False))
        assert apps[-1].backend.tracker is not one.tracker
    finally:
        for app in apps:
            app.backend.tracker.close()


def test_what_an_app_of_its_own_memory_opened_is_closed_with_it():
    app = Celery("gone", backend="eventresults+memory://", set_as_current=False)
    app.backend.store_result("t", 1, states.SUCCESS)
    tracker = app.backend.tracker

    app.close()
    del app
    gc.collect()

    assert tracker.closed
