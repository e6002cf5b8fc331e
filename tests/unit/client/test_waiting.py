from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest

from eventresults.client.asyncresult import AsyncResult
from eventresults.client.inbox import LIMIT
from eventresults.client.waiting import Deadline, Ticks, arrivals
from eventresults.domain.events import TaskUpdated
from eventresults.errors import Closed, ResultTimeout, ViewStale


def results(backend, *ids):
    return [AsyncResult(one, backend=backend) for one in ids]


def test_one_look_and_one_subscription_serve_many(backend, facts, view):
    for n in range(100):
        facts.succeeded(f"t{n}")
    waited = results(backend, *(f"t{n}" for n in range(100)))

    assert list(arrivals(waited)) == waited
    assert view.reads == 1
    assert view.subscriptions == 0


def test_what_comes_between_subscribing_and_looking_is_not_missed(backend, facts, view):
    real = view.subscribe

    def subscribe(ids, listener):
        subscription = real(ids, listener)
        facts.succeeded("t", result=1)
        return subscription

    view.subscribe = subscribe

    assert AsyncResult("t", backend=backend).get(timeout=5) == 1


def test_what_comes_while_looking_is_not_missed(backend, facts, view):
    real = view.get_many

    def get_many(ids, **arguments):
        found = real(ids, **arguments)
        facts.succeeded("t", result=1)
        return found

    view.get_many = get_many

    assert AsyncResult("t", backend=backend).get(timeout=5) == 1


def test_a_stale_look_raises_unless_time_is_up_anyway(backend, facts, view):
    real = view.get_many

    def get_many(ids, *, freshness="default", timeout=None):
        if freshness == "default":
            time.sleep(min(timeout or 0, 0.2))
            raise ViewStale("down", reason="down")
        return real(ids)

    view.get_many = get_many
    facts.failed("t", error={"type": "ValueError", "module": "builtins", "message": "x", "args": ["x"]})

    with pytest.raises(ViewStale):
        AsyncResult("t", backend=backend).get(timeout=30)
    with pytest.raises(ValueError, match="x"):
        AsyncResult("t", backend=backend).get(timeout=0.05)
    with pytest.raises(ResultTimeout):
        AsyncResult("u", backend=backend).get(timeout=0.05)


def test_the_subscription_is_given_up_however_the_wait_ends(backend, view):
    with pytest.raises(ResultTimeout):
        AsyncResult("t", backend=backend).get(timeout=0.01)
    assert view.subscriptions == 0

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        AsyncResult("t", backend=backend).get(timeout=5, interval=0.01, on_interval=stop)
    assert view.subscriptions == 0
    assert not backend._inboxes


def test_closing_ends_every_wait(backend):
    threading.Timer(0.05, backend.close).start()
    with pytest.raises(Closed):
        AsyncResult("t", backend=backend).get()
    with pytest.raises(Closed):
        AsyncResult("t", backend=backend).get()


def test_a_flood_of_changes_is_bounded_and_the_end_gets_through(backend, facts, view, caplog):
    facts.sent("t")
    seen = []

    def slow(meta):
        seen.append(meta["status"])
        if len(seen) == 1:
            now = datetime.now(UTC)
            for n in range(LIMIT + 50):
                view.tell(TaskUpdated(task_id="t", time=now, state="PROGRESS", meta=n))
            facts.succeeded("t", result="end")

    assert AsyncResult("t", backend=backend).get(timeout=30, on_message=slow) == "end"
    assert seen == ["PENDING", *["PROGRESS"] * LIMIT, "SUCCESS"]
    assert "slower than its tasks" in caplog.text


def test_a_flood_of_changes_does_not_outlast_the_timeout(backend, view):
    stop = threading.Event()

    def flood():
        while not stop.is_set():
            view.tell(TaskUpdated(task_id="t", time=datetime.now(UTC), state="PROGRESS"))

    thread = threading.Thread(target=flood, name="test-flood")
    thread.start()
    began = time.monotonic()
    try:
        with pytest.raises(ResultTimeout):
            AsyncResult("t", backend=backend).get(timeout=0.1, on_message=lambda _: None)
    finally:
        stop.set()
        thread.join(10)
    assert time.monotonic() - began < 5


def test_a_deadline_never_passes_without_a_timeout():
    assert Deadline(None).remaining() is None
    assert not Deadline(None).passed()
    assert Deadline(0).passed()
    assert Deadline(-1).passed()
    assert Deadline(0).for_look() is None
    assert 0 < Deadline(5).for_look() <= 5


def test_ticks_skip_what_a_long_call_missed():
    calls = []
    ticks = Ticks(0.02, lambda: (calls.append(1), time.sleep(0.1)))
    began = time.monotonic()
    while time.monotonic() - began < 0.35:
        ticks.tick()
        time.sleep(0.001)

    assert 2 <= len(calls) <= 4
