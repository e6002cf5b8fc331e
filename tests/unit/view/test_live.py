"""Shards that move while they are read: waiting for positions, and being told of changes."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

from eventresults.domain.events import Event
from eventresults.domain.position import Position
from eventresults.errors import Closed, LogUnavailable, TopicMisconfigured
from eventresults.view.base import Change, Fact
from eventresults.view.live import LiveView
from eventresults.view.memory import MemoryStore
from eventresults.view.shard import Shard
from tests.support.events import TASK, revoke_requested, sent
from tests.support.views import until


def change(event: Event, offset: int = 0) -> Change:
    return Change(event.subject, Fact(Position(0, offset), 0, event), None)


@pytest.fixture
def view():
    view = LiveView({0: Shard(MemoryStore(), 0), 1: Shard(MemoryStore(), 1)}, {0: 0, 1: 0})
    yield view
    view.close()


def waiting(view: LiveView, ends, timeout: float = 5.0):
    """A thread that waits, and the list that gets its outcome."""
    outcome = []

    def run():
        try:
            outcome.append(view.wait(ends, monotonic() + timeout))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


# Waiting


def test_who_waits_for_what_is_there_does_not_wait(view: LiveView):
    assert view.wait({0: 0}, monotonic() - 1)
    assert view.wait({}, monotonic() - 1)


def test_a_wait_ends_with_its_deadline(view: LiveView):
    # when
    waited = []
    for _ in range(5):
        begun = monotonic()
        assert not view.wait({0: 1}, begun + 0.02)
        waited.append(monotonic() - begun)

    # then: the least, for whoever else runs on this machine may keep us from noticing
    assert 0.02 <= min(waited) < 0.03


def test_a_wait_ends_once_every_partition_is_there(view: LiveView):
    # given
    thread, outcome = waiting(view, {0: 5, 1: 2})

    # when
    view.publish(0, 5, [])
    thread.join(0.02)
    assert outcome == []
    view.publish(1, 2, [])

    # then
    thread.join(5)
    assert outcome == [True]


def test_closing_releases_who_waits(view: LiveView):
    thread, outcome = waiting(view, {0: 5})
    view.close()
    thread.join(5)
    assert isinstance(outcome[0], Closed)


def test_a_closed_view_says_so(view: LiveView):
    view.close()
    view.close()
    for ask in (lambda: view.shard(0), lambda: view.shards, lambda: view.wait({0: 1}, monotonic() + 1)):
        with pytest.raises(Closed):
            ask()


def test_a_trouble_that_no_waiting_heals_ends_the_wait_at_once(view: LiveView):
    # given
    thread, outcome = waiting(view, {0: 5})

    # when
    view.hold_up(TopicMisconfigured("partitions changed", topic="t", problems=["p"]))
    thread.join(1)

    # then
    assert isinstance(outcome[0], TopicMisconfigured)
    assert outcome[0].problems == ["p"]


def test_any_other_trouble_lets_who_waits_wait_and_is_there_to_be_told(view: LiveView):
    # given
    thread, outcome = waiting(view, {0: 5})
    trouble = LogUnavailable("gone")

    # when
    view.hold_up(trouble)

    # then
    assert view.trouble is trouble
    view.publish(0, 5, [])
    thread.join(5)
    assert outcome == [True]
    view.hold_up(None)
    assert view.trouble is None


# Watching


def test_changes_are_told_in_log_order_before_the_position_moves(view: LiveView):
    # given
    told = []
    view.subscribe([TASK, "other"], lambda one: told.append((one.subject, one.fact.position.offset, view.position(0))))

    # when
    view.publish(0, 3, [change(sent(), 0), change(sent(task_id="other"), 1), change(sent(task_id="third"), 2), change(sent(), 3)])

    # then
    assert told == [(TASK, 0, 0), ("other", 1, 0), (TASK, 3, 0)]
    assert view.position(0) == 3


def test_a_listener_that_fails_stops_neither_the_others_nor_the_position(view: LiveView, caplog):
    # given
    told = []

    def fail(_):
        raise RuntimeError("mine")

    view.subscribe([TASK], fail)
    view.subscribe([TASK], told.append)

    # when
    view.publish(0, 1, [change(sent())])

    # then
    assert len(told) == 1
    assert view.position(0) == 1
    assert "a listener failed at 0:0" in caplog.text


def test_a_closed_subscription_is_told_no_more_and_others_are(view: LiveView):
    # given: one listener subscribed twice, and another
    told, others = [], []
    first, second = view.subscribe([TASK], told.append), view.subscribe([TASK], told.append)
    view.subscribe([TASK], others.append)

    # when
    first.close()
    first.close()
    view.publish(0, 1, [change(sent())])

    # then
    assert (len(told), len(others)) == (1, 1)
    second.close()
    view.publish(0, 2, [change(sent())])
    assert (len(told), len(others)) == (1, 2)


def test_one_of_several_subscriptions_is_ended_for_one_id_of_its_many(view: LiveView):
    # given
    told = []
    listener = told.append
    view.subscribe([TASK, "other"], listener)
    view.subscribe([TASK], listener)

    # when, then
    view.listeners.remove((TASK,), listener)
    view.publish(0, 1, [change(sent(), 0)])
    view.listeners.remove((TASK,), listener)
    view.publish(0, 3, [change(sent(), 1), change(sent(task_id="other"), 2)])
    assert [(one.subject, one.fact.position.offset) for one in told] == [(TASK, 0), ("other", 2)]


def test_what_this_process_heard_elsewhere_is_told_to_its_guests_all_the_same(view: LiveView):
    # given: the view that it heard the change at 5 of was lost before it had told all before that
    own, guest = [], []
    view.subscribe([TASK], own.append)
    view.guests.add([TASK], guest.append)
    view.listeners.catch_up()
    view.listeners.tell(change(sent(), 5))
    view.listeners.caught_up({0: 3})

    # when
    view.publish(0, 7, [change(sent(), 5), change(sent(), 6)])

    # then
    assert [one.fact.position.offset for one in own] == [5, 6]
    assert [one.fact.position.offset for one in guest] == [5, 6]


def test_nothing_is_kept_of_closed_subscriptions(view: LiveView):
    for number in range(100):
        view.subscribe([f"t{number}"], print).close()
        view.open_revokes(print).close()
    assert view.listeners.subjects() == []
    assert view.listeners.of_revokes == ()


def test_revoke_requests_are_told_whatever_their_task(view: LiveView):
    # given
    told = []
    subscription = view.open_revokes(told.append)

    # when
    view.publish(0, 2, [change(revoke_requested(task_id="a")), change(sent()), change(revoke_requested(task_id="b"))])
    subscription.close()
    view.publish(0, 3, [change(revoke_requested(task_id="c"))])

    # then
    assert [one.subject for one in told] == ["a", "b"]


def test_a_subscription_may_be_closed_in_a_destructor_that_runs_while_another_is_made(view: LiveView):
    # given: garbage whose destructor closes a subscription
    class Result:
        def __init__(self):
            self.subscription = view.subscribe([TASK], lambda change: None)

        def __del__(self):
            self.subscription.close()

    garbage = [Result()]
    done = threading.Event()

    def subscribe():
        with view.listeners._lock:  # as within subscribe()
            garbage.clear()
        view.subscribe([TASK], print)
        done.set()

    # when
    threading.Thread(target=subscribe, daemon=True).start()

    # then
    assert done.wait(5), "deadlock"
    assert view.listeners._by_subject[TASK] == (print,)


def test_subscribing_and_closing_from_many_threads_loses_nobody(view: LiveView):
    # given: one who stays
    told = []
    view.subscribe([TASK], told.append)
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            view.subscribe([TASK], lambda change: None).close()

    threads = [threading.Thread(target=churn) for _ in range(4)]
    for thread in threads:
        thread.start()

    # when
    for offset in range(2_000):
        view.publish(0, offset + 1, [change(sent(), offset)])
    stop.set()
    for thread in threads:
        thread.join(5)

    # then
    assert len(told) == 2_000
    until(lambda: len(view.listeners._by_subject[TASK]) == 1)


# Another generation


def test_another_generation_takes_the_place_and_watchers_stay(view: LiveView):
    # given
    told = []
    view.subscribe([TASK], lambda one: told.append(one.fact.position.offset))
    view.publish(0, 7, [])
    before = view.shards
    fresh = {0: Shard(MemoryStore(), 0), 1: Shard(MemoryStore(), 1)}

    # when: one that begins further back, and in its place another
    old = view.replace(fresh, {0: 0, 1: 0}, same_log=True)
    view.replace(fresh, {0: 2, 1: 0}, same_log=True)

    # then
    assert old is before
    assert view.shard(0) is fresh[0]
    assert view.position(0) == 2

    # when: it folds again what was told already, and then more
    view.publish(0, 9, [change(sent(), 6), change(sent(), 7), change(sent(), 8)])

    # then
    assert told == [7, 8]
    assert view.logs_before == 0


def test_of_another_log_everything_is_told(view: LiveView):
    # given
    told = []
    view.subscribe([TASK], lambda one: told.append(one.fact.position.offset))
    view.publish(0, 9, [])

    # when
    view.replace(dict(view.shards), {0: 0, 1: 0}, same_log=False)
    view.publish(0, 2, [change(sent(), 1)])

    # then
    assert told == [1]
    assert view.logs_before == 1


def test_who_meets_closed_shards_waits_for_others(view: LiveView):
    # given
    before = view.shards
    assert not view.wait_for_others(before, monotonic() + 0.01)
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(view.wait_for_others(before, monotonic() + 5)))
    thread.start()

    # when
    view.replace(dict(before), {0: 0, 1: 0}, same_log=True)

    # then
    thread.join(5)
    assert outcome == [True]


def test_a_closed_view_takes_no_other_generation(view: LiveView):
    view.close()
    with pytest.raises(Closed):
        view.replace({}, {}, same_log=True)


def test_a_doubt_is_passed_on_once(view: LiveView):
    # given
    called = []
    view.on_doubt = lambda: called.append(1)
    doubt = LogUnavailable("it ends before we do")

    # when
    view.doubt(doubt)

    # then
    assert called == [1]
    assert view.doubt_open
    assert view.take_doubt() is doubt
    assert not view.doubt_open
    assert view.take_doubt() is None
