from __future__ import annotations

import threading
import time

from eventresults.client.callbacks import NAME, Callbacks


def alive():
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def test_jobs_run_in_order_on_one_thread():
    callbacks, ran = Callbacks(), []
    for n in range(100):
        callbacks.put(lambda n=n: ran.append((n, threading.current_thread().name)))
    callbacks.close()

    assert ran == [(n, NAME) for n in range(100)]


def test_the_thread_ends_when_there_is_nothing_to_do_and_comes_back():
    callbacks, ran = Callbacks(), []
    before = len(alive())
    callbacks.put(lambda: ran.append(1))
    deadline = time.monotonic() + 5
    while len(alive()) > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(alive()) == before

    callbacks.put(lambda: ran.append(2))
    callbacks.close()

    assert ran == [1, 2]


def test_whatever_a_job_raises_the_next_one_runs(caplog):
    callbacks, ran = Callbacks(), []

    def leave():
        raise SystemExit(1)

    callbacks.put(leave)
    callbacks.put(lambda: ran.append(1))
    callbacks.close()

    assert ran == [1]
    assert "a callback failed" in caplog.text


def test_closing_sees_off_what_callbacks_lead_to_and_takes_no_more(caplog):
    callbacks, ran = Callbacks(), []
    started = threading.Event()

    def first():
        started.wait(5)
        callbacks.put(lambda: ran.append("second"))

    callbacks.put(first)
    threading.Timer(0.05, started.set).start()
    callbacks.close()
    callbacks.close()

    assert ran == ["second"]
    assert callbacks.put(lambda: ran.append("late")) is False
    assert ran == ["second"]
    assert "not called" in caplog.text


def test_closing_does_not_wait_for_ever(caplog):
    callbacks, release = Callbacks(), threading.Event()
    callbacks.put(lambda: release.wait(10))
    callbacks.put(print)

    began = time.monotonic()
    callbacks.close(timeout=0.05)

    assert time.monotonic() - began < 1
    assert "those behind it will not be called" in caplog.text
    release.set()


def test_a_callback_may_close_its_own_tracker():
    callbacks, done = Callbacks(), threading.Event()
    callbacks.put(lambda: (callbacks.close(), done.set()))

    assert done.wait(5)
