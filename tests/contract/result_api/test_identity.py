"""What makes a result the same: ids, equality, pickles, copies, and the app that it belongs to."""

from __future__ import annotations

import copy
import pickle

import pytest

from eventresults import (
    AsyncResult,
    ConfigError,
    connect,
)
from tests.support.collected import SOON


def test_results_of_one_id_are_equal_and_equal_to_the_id(tracker):
    one, other = tracker.AsyncResult("t"), tracker.AsyncResult("t")

    assert one == other == "t"
    assert one != tracker.AsyncResult("u")
    assert one != 7
    assert hash(one) == hash("t")
    assert {one: 1}[other] == 1
    assert str(one) == "t"
    assert repr(one) == "<AsyncResult: t>"
    assert one.task_id == "t"


def test_an_integer_id_is_its_text(tracker, recorder):
    recorder.succeeded("7", result="seven")

    assert tracker.AsyncResult(7).get(timeout=SOON) == "seven"


def test_no_id_is_a_value_error(tracker):
    with pytest.raises(ValueError, match="valid id"):
        tracker.AsyncResult(None)


def test_a_pickled_result_attaches_to_the_current_tracker(tracker, recorder):
    recorder.succeeded("t", result=5)
    original = tracker.AsyncResult("t", parent=tracker.AsyncResult("p"))

    restored = pickle.loads(pickle.dumps(original))

    assert restored == original
    assert restored.parent == "p"
    assert restored.get(timeout=SOON, follow_parents=False) == 5
    assert restored.app is tracker


def test_a_pickled_result_without_a_tracker_says_what_to_do(tracker):
    pickled = pickle.dumps(tracker.AsyncResult("t"))
    tracker.close()

    restored = pickle.loads(pickled)
    with pytest.raises(ConfigError, match="connect"):
        restored.exists()


def test_making_a_result_needs_no_tracker():
    result = AsyncResult("t")

    assert result == "t"
    with pytest.raises(ConfigError, match="connect"):
        result.exists()


def test_a_copy_stays_with_its_tracker(tracker, recorder):
    recorder.succeeded("t", result=5)
    with connect("memory://"):
        original = tracker.AsyncResult("t", parent=tracker.AsyncResult("p"))
        for copied in (copy.copy(original), copy.deepcopy(original)):
            assert copied == original
            assert copied is not original
            assert copied.app is tracker
            assert copied.get(timeout=SOON, propagate=False) == 5


def test_a_result_without_an_app_takes_the_latest_tracker(tracker, recorder):
    recorder.succeeded("t", result=5)

    assert AsyncResult("t").get(timeout=SOON) == 5
    with connect("memory://") as other:
        assert AsyncResult("t").app is other
    assert AsyncResult("t").app is tracker


def test_a_celery_app_whose_backend_is_ours_is_an_app(tracker, recorder):
    class Backend:
        pass

    class Control:
        calls = []

        def revoke(self, *args, **kwargs):
            self.calls.append((args, kwargs))

        def revoke_by_stamped_headers(self, *args, **kwargs):
            self.calls.append((args, kwargs))

    class App:
        backend = Backend()
        control = Control()

    App.backend.tracker = tracker
    recorder.succeeded("t", result=5)
    result = AsyncResult("t", app=App)

    assert result.get(timeout=SOON) == 5
    result.revoke(terminate=True, signal="KILL", timeout=3)
    result.revoke_by_stamped_headers({"a": "b"})
    assert Control.calls == [
        (("t",), {"connection": None, "terminate": True, "signal": "KILL", "reply": False, "timeout": 3}),
        (({"a": "b"},), {"connection": None, "terminate": False, "signal": None, "reply": False, "timeout": None}),
    ]


def test_an_app_that_keeps_its_results_elsewhere_is_refused():
    class App:
        backend = object()

    with pytest.raises(ConfigError, match="result_backend"):
        AsyncResult("t", app=App()).exists()
