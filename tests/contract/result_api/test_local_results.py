"""`EagerResult`: a result that was never recorded."""

from __future__ import annotations

import copy
import pickle

import pytest

from eventresults import (
    EagerResult,
    TaskRevokedError,
    WouldBlock,
    denied_join_result,
)


def test_an_eager_result_is_there():
    result = EagerResult("e", 42, "SUCCESS", name="add")

    assert result.get() == 42
    assert result.result == 42
    assert (result.state, result.status, result.name, result.traceback) == ("SUCCESS", "SUCCESS", "add", None)
    assert result.ready()
    assert result.exists()
    assert result.successful()
    assert not result.supports_native_join
    assert result.children is None
    assert result.parent is None
    assert result.date_done is None
    assert repr(result) == "<EagerResult: e>"
    assert list(result.collect()) == [(result, 42)]
    assert result.history() == []
    result.forget()


def test_an_eager_failure_raises():
    result = EagerResult("e", ValueError("x"), "FAILURE", traceback="tb")

    with pytest.raises(ValueError, match="x"):
        result.get()
    assert isinstance(result.get(propagate=False), ValueError)
    assert result.failed()
    with pytest.raises(Exception, match="just text"):
        EagerResult("e", "just text", "FAILURE").get()
    assert EagerResult("e", ValueError("x"), "RETRY").get() is None


def test_an_eager_result_calls_back_at_once():
    good, bad, chained = [], [], []
    EagerResult("e", 1, "SUCCESS").then(lambda r: good.append(r.result) or 7).then(chained.append)
    EagerResult("e", ValueError("x"), "FAILURE").then(good.append, on_error=bad.append)

    assert good == [1]
    assert chained == [7]
    assert [str(error) for error in bad] == ["x"]


def test_an_eager_result_can_be_revoked_copied_and_pickled():
    result = EagerResult("e", 42, "SUCCESS", traceback="tb", name="n")
    assert pickle.loads(pickle.dumps(result)).get() == 42
    assert copy.copy(result).result == 42

    result.revoke()

    with pytest.raises(TaskRevokedError):
        result.get()
    assert result.state == "REVOKED"
    assert result.traceback is None


def test_an_eager_get_inside_a_task_is_refused():
    with denied_join_result(), pytest.raises(WouldBlock):
        EagerResult("e", 1, "SUCCESS").get()
