"""The backend, under Celery's names."""

from __future__ import annotations

import pytest

from eventresults import (
    ResultTimeout,
    result_from_tuple,
)


def test_the_backend_answers_under_celerys_names(tracker, recorder):
    backend = tracker.backend
    assert backend.get_task_meta("t") | {"status": "PENDING", "result": None, "task_id": "t"} == backend.get_task_meta("t")
    recorder.sent("t", name="add", args=[1])
    recorder.succeeded("t", result=5, children=[tracker.AsyncResult("u").as_tuple()])

    meta = backend.get_task_meta("t")
    assert {
        "status",
        "result",
        "traceback",
        "children",
        "date_done",
        "task_id",
        "name",
        "args",
        "kwargs",
        "worker",
        "retries",
        "queue",
    } <= meta.keys()
    assert (meta["status"], meta["result"], meta["name"], meta["args"], meta["worker"]) == ("SUCCESS", 5, "add", [1], "w1")
    assert backend.get_state("t") == "SUCCESS"
    assert backend.get_result("t") == 5
    assert backend.task_result_exists("t")
    assert dict(backend.get_many(["t", "nobody"], max_iterations=1)).keys() == {"t"}
    with pytest.raises(ResultTimeout):
        list(backend.get_many(["t", "nobody"], timeout=0.05))
    assert result_from_tuple(backend.get_children("t")[0], app=tracker) == "u"
    assert "SUCCESS" in backend.READY_STATES
    backend.forget("t")
    assert not backend.task_result_exists("t")
