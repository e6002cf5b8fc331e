"""Threads for questions that may wait."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time

import pytest

from eventresults.errors import Closed
from eventresults.service.pool import Pool
from tests.support.views import until


def test_what_is_submitted_is_done_and_no_more_threads_are_made_than_are_needed():
    pool, done = Pool(4, "test-pool"), []
    for number in range(20):
        pool.submit(done.append, number)
        until(lambda number=number: len(done) == number + 1)
        until(lambda: pool._idle._value == len(pool._threads))
    assert done == list(range(20))
    assert len(pool._threads) == 1
    pool.close()
    pool._threads[0].join(5)
    assert not pool._threads[0].is_alive()


def test_at_most_so_many_wait_at_the_same_time_and_the_others_come_after_them():
    pool, go, done = Pool(2, "test-pool"), threading.Event(), []
    for number in range(6):
        pool.submit(lambda number=number: (go.wait(5), done.append(number)))
    assert len(pool._threads) == 2
    go.set()
    until(lambda: len(done) == 6)
    pool.close()


def test_an_error_is_logged_and_the_thread_lives_on(caplog):
    pool, done = Pool(1, "test-pool"), threading.Event()
    pool.submit(lambda: 1 / 0)
    pool.submit(done.set)
    assert done.wait(5)
    assert [line.levelno for line in caplog.records] == [logging.ERROR]
    pool.close()


def test_once_closed_it_begins_nothing_more():
    pool, go, done = Pool(1, "test-pool"), threading.Event(), []
    pool.submit(go.wait, 5)
    pool.submit(done.append, 1)
    pool.close()
    pool.close()
    pool.submit(done.append, 2)
    go.set()
    pool._threads[0].join(5)
    assert not pool._threads[0].is_alive()
    assert done == []


def test_the_end_of_the_interpreter_waits_for_none_of_its_threads():
    code = "import time; from eventresults.service.pool import Pool; Pool(1, 'p').submit(time.sleep, 60)"
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    assert time.monotonic() - begun < 20


def test_many_are_asked_side_by_side_and_answer_in_their_order():
    pool, together = Pool(3, "test-pool"), threading.Barrier(3, timeout=5)
    assert pool.map(lambda number: (together.wait(), number * 2)[1], [1, 2, 3]) == [2, 4, 6]
    assert pool.map(lambda number: number, []) == []
    pool.close()


def test_the_first_error_among_many_is_the_caller_s():
    pool = Pool(3, "test-pool")
    with pytest.raises(ZeroDivisionError):
        pool.map(lambda number: 1 / number, [1, 0, 2])
    assert pool.map(abs, [-1]) == [1]
    pool.close()


def test_who_asks_many_of_a_pool_that_is_closed_meanwhile_is_told():
    # given: one thread, busy
    pool, go, raised = Pool(1, "test-pool"), threading.Event(), []
    pool.submit(go.wait, 5)

    def ask() -> None:
        try:
            pool.map(abs, [1, 2])
        except Closed as error:
            raised.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: pool._queue.qsize() == 2)

    # when
    pool.close()
    go.set()

    # then
    asking.join(5)
    assert len(raised) == 1
    with pytest.raises(Closed):
        pool.map(abs, [1])
