"""`ResultSet` and `GroupResult`: state, members, promises, saving, and their forms as tuples."""

from __future__ import annotations

import pickle

import pytest

from eventresults import (
    EagerResult,
    GroupResult,
    ResultSet,
    result_from_tuple,
)
from tests.support.collected import SOON, Collected


def test_the_state_of_a_set(three, recorder):
    assert three.waiting()
    assert not three.ready()
    recorder.succeeded("a")
    recorder.succeeded("b")
    assert three.completed_count() == 2
    assert not three.successful()
    assert not three.failed()
    recorder.failed("c", error=ValueError("x"))

    assert three.ready()
    assert not three.waiting()
    assert not three.successful()
    assert three.failed()
    assert three.completed_count() == 2
    with pytest.raises(ValueError, match="x"):
        three.maybe_throw()
    three.maybe_reraise(propagate=False)


def test_membership_of_a_set(tracker):
    a, b = tracker.AsyncResult("a"), tracker.AsyncResult("b")
    results = ResultSet([a])
    results.add(a)
    results.add(b)
    assert results.results == [a, b]
    assert len(results) == 2
    assert list(results) == [a, b]
    assert results[1] is b
    assert results == ResultSet([a, b])
    assert repr(results) == "<ResultSet: [a, b]>"

    results.remove("a")
    results.discard("a")
    with pytest.raises(KeyError):
        results.remove(a)
    results.update([a, b, tracker.AsyncResult("c")])
    assert [r.id for r in results] == ["b", "a", "c"]
    results.clear()
    assert not results.results
    assert results.supports_native_join is None


def test_an_empty_set_is_ready_and_has_no_values(tracker):
    empty = tracker.ResultSet([])

    assert empty.ready()
    assert empty.successful()
    assert empty.join() == []
    assert empty.join_native() == []
    called = Collected()
    empty.then(called)
    assert called.wait() == [empty]


def test_the_promise_of_a_set_fires_when_all_are_ready(three, recorder):
    called = Collected()
    three.then(called)
    for name in "ab":
        recorder.succeeded(name)
    tell = Collected()
    three[0].then(tell)
    tell.wait()
    assert not called.items

    recorder.failed("c", error=ValueError("x"))

    assert called.wait()[0] is three
    again = Collected()
    three.then(again)
    assert again.wait() == [three]
    assert len(called.items) == 1


def test_the_promise_of_a_set_breaks_with_the_first_failure_in_order(three, recorder):
    good, bad = Collected(), Collected()
    three.then(good, on_error=bad)
    recorder.failed("c", error=ValueError("c"))
    recorder.failed("b", error=KeyError("b"))
    recorder.succeeded("a")

    assert isinstance(bad.wait()[0], KeyError)
    assert not good.items


def test_the_promise_of_a_set_waits_for_what_is_added_and_not_for_what_is_taken_out(tracker, three, recorder):
    called = Collected()
    three.then(called)
    three.add(tracker.AsyncResult("d"))
    three.remove("a")
    for name in "bc":
        recorder.succeeded(name)
    tell = Collected()
    tracker.AsyncResult("c").then(tell)
    tell.wait()
    assert not called.items

    recorder.succeeded("d")

    called.wait()
    three.add(tracker.AsyncResult("e"))
    late = Collected()
    three.then(late)
    recorder.succeeded("e")
    late.wait()
    assert len(called.items) == 1


def test_groups_in_groups(tracker, recorder, later):
    inner = tracker.GroupResult("inner", [tracker.AsyncResult("b"), tracker.AsyncResult("c")])
    outer = tracker.GroupResult("outer", [tracker.AsyncResult("a"), inner])
    called = Collected()
    outer.then(called)
    assert not outer.ready()
    later(lambda: [recorder.succeeded(name, result=name) for name in "cba"])

    assert outer.get(timeout=SOON) == ["a", ["b", "c"]]
    assert outer.join(timeout=SOON) == ["a", ["b", "c"]]
    assert dict(outer.iter_native(timeout=SOON))["inner"] == inner.results
    assert outer.ready()
    assert outer.successful()
    assert outer.completed_count() == 2
    assert called.wait() == [outer]


def test_local_results_mix_with_recorded_ones(tracker, recorder):
    recorder.succeeded("a", result=1)
    mixed = tracker.ResultSet([EagerResult("e", 0, "SUCCESS"), tracker.AsyncResult("a")])

    assert mixed.get(timeout=SOON) == [0, 1]
    assert mixed.join_native(timeout=SOON) == [0, 1]
    assert mixed.successful()
    called = Collected()
    mixed.then(called)
    called.wait()


def test_a_saved_group_is_found_again(tracker, recorder):
    recorder.succeeded("a", result=1)
    recorder.succeeded("b", result=2)
    inner = tracker.GroupResult("inner", [tracker.AsyncResult("b")])
    group = tracker.GroupResult(
        "g", [tracker.AsyncResult("a", parent=tracker.AsyncResult("p")), inner], parent=tracker.AsyncResult("before")
    )

    assert group.save() is group
    restored = GroupResult.restore("g", app=tracker)

    assert restored == group
    assert restored.as_tuple() == group.as_tuple()
    assert restored.app is tracker
    assert restored.join(timeout=SOON, propagate=False) == [1, [2]]
    assert GroupResult.restore("g") == group
    assert GroupResult.restore("g", backend=tracker.backend) == group
    assert GroupResult.restore("nobody") is None

    restored.delete()
    assert GroupResult.restore("g") is None
    assert tracker.AsyncResult("a").exists()


def test_group_identity(tracker):
    members = [tracker.AsyncResult("a"), tracker.AsyncResult("b")]
    group = tracker.GroupResult("g", members)

    assert group == tracker.GroupResult("g", list(members)) == "g"
    assert group != tracker.GroupResult("g", members[:1])
    assert group != tracker.GroupResult("g", members, parent=members[0])
    assert hash(group) == hash("g")
    assert str(group) == "g"
    assert repr(group) == "<GroupResult: g [a, b]>"
    assert group.children is group.results
    assert group.as_tuple() == (("g", None), [(("a", None), None), (("b", None), None)])
    assert group
    assert not GroupResult()
    assert tracker.GroupResult(id="g")


def test_a_pickled_group_comes_back_whole(tracker, recorder):
    recorder.succeeded("a", result=1)
    group = tracker.GroupResult("g", [tracker.AsyncResult("a")], parent=tracker.AsyncResult("p"))

    restored = pickle.loads(pickle.dumps(group))

    assert restored == group
    assert restored.get(timeout=SOON, propagate=False) == [1]
    assert pickle.loads(pickle.dumps(ResultSet(group.results))) == ResultSet(group.results)


def test_a_set_forgets_and_revokes_all(three, tracker, recorder):
    for name in "abc":
        recorder.sent(name)

    three.revoke(terminate=True)
    assert [tracker.history(name)[-1].kind for name in "abc"] == ["task-revoke-requested"] * 3

    three.forget()
    assert not any(result.exists() for result in three)


@pytest.mark.parametrize(
    "form",
    [
        (("t", None), None),
        ["t", None],
        (("t", (("p", None), None)), None),
        (("g", None), [(("a", None), None), (("b", (("p", None), None)), None)]),
        (("g", (("p", None), None)), [(("inner", None), [(("a", None), None)])]),
    ],
)
def test_results_come_back_from_their_tuples(tracker, form):
    result = result_from_tuple(form, app=tracker)

    assert result.app is tracker
    if form[0] != "t":
        assert result.as_tuple() == form
    assert result_from_tuple(result) is result


def test_what_is_no_tuple_of_a_result_is_refused():
    with pytest.raises(ValueError, match="as_tuple"):
        result_from_tuple("t")
