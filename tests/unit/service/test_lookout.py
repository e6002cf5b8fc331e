"""Looking now and then whether all is well."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from time import monotonic

import pytest

from eventresults.errors import LogUnavailable
from eventresults.service.lookout import Lookout

LONG = 30.0


@contextmanager
def looking_out(suspects: Callable[[], bool]):
    woken = threading.Event()
    lookout = Lookout(suspects, 0.001, wake=woken.set)
    lookout.start()
    try:
        yield lookout, woken
    finally:
        lookout.close(LONG)


def away() -> bool:
    raise LogUnavailable("broker 3 is on fire", url="kafka://", reason="fire")


@pytest.mark.parametrize("suspects", [lambda: True, away], ids=["a suspicion", "an error"])
def test_who_moves_the_view_is_woken_by(suspects):
    with looking_out(suspects) as (lookout, woken):
        assert woken.wait(LONG)
        assert lookout.alarmed


def test_a_defect_in_the_question_is_a_suspicion_and_logged_with_its_trace(caplog):
    with looking_out(lambda: 1 / 0 > 1) as (_, woken):
        assert woken.wait(LONG)
    assert "ZeroDivisionError" in caplog.text


def test_nobody_is_woken_while_all_is_well():
    looks = threading.Semaphore(0)

    def well() -> bool:
        looks.release()
        return False

    with looking_out(well) as (lookout, woken):
        for _ in range(3):
            assert looks.acquire(timeout=LONG)
        assert not lookout.alarmed
        assert not woken.is_set()


def test_whoever_looks_lets_it_rest():
    lookout = Lookout(lambda: False, LONG, wake=lambda: None)
    lookout.alarm()
    assert lookout.alarmed
    lookout.rest()
    assert not lookout.alarmed


def test_its_end_does_not_wait_for_an_answer_that_does_not_come():
    # given
    asked, answer = threading.Event(), threading.Event()

    def suspects() -> bool:
        asked.set()
        return answer.wait(LONG)

    with looking_out(suspects) as (lookout, woken):
        assert asked.wait(LONG)

        # when
        begun = monotonic()
        lookout.close(0.01)

        # then
        assert monotonic() - begun < LONG / 2
        answer.set()
        lookout.close(LONG)
        assert not woken.is_set()
