from __future__ import annotations

from contextlib import nullcontext

import pytest

from eventresults.client.joins import denied_join_result, task_join_will_block
from eventresults.errors import MaxRetriesExceededError
from eventresults.worker.attempt import Again, Raised, Returned, attempt
from eventresults.worker.context import CurrentTask, Retry, current_task, running


class Nowhere:
    def update(self, task, state, meta):
        raise AssertionError("nothing is updated here")

    def submits(self, task):
        raise AssertionError("nothing is sent here")


def a_task(**fields) -> CurrentTask:
    return CurrentTask(**{"id": "a", "name": "n", "home": Nowhere(), "trail": [], **fields})


def test_a_value_and_the_time_it_took_come_back():
    outcome = attempt(lambda: 42, a_task(), nullcontext())
    assert isinstance(outcome, Returned)
    assert outcome.value == 42
    assert 0 <= outcome.runtime < 5


def test_an_exception_comes_back_with_a_traceback_that_begins_in_the_task():
    def work():
        raise ValueError("boom")

    outcome = attempt(work, a_task(), nullcontext())
    assert isinstance(outcome, Raised)
    assert repr(outcome.error) == "ValueError('boom')"
    assert outcome.traceback is not None
    assert outcome.traceback.startswith("Traceback (most recent call last)")
    assert "in work" in outcome.traceback
    assert "in attempt" not in outcome.traceback


@pytest.mark.parametrize("ending", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_nothing_that_a_task_raises_gets_past(ending):
    def work():
        raise ending

    outcome = attempt(work, a_task(), nullcontext())
    assert isinstance(outcome, Raised)
    assert outcome.error is ending


def test_inside_the_task_is_the_current_one_and_waiting_is_denied():
    task = a_task()
    outcome = attempt(lambda: (current_task(), task_join_will_block()), task, denied_join_result())
    assert isinstance(outcome, Returned)
    assert outcome.value == (task, True)
    assert current_task() is None
    assert not task_join_will_block()


def test_a_retry_gets_through_except_exception_and_tells_the_error_being_handled():
    task = a_task(max_retries=1)

    def work():
        try:
            raise ConnectionError("down")
        except ConnectionError:
            try:
                task.retry(countdown=3)
            except Exception:
                return "caught"

    outcome = attempt(work, task, nullcontext())
    assert isinstance(outcome, Again)
    assert isinstance(outcome.error, ConnectionError)
    assert outcome.countdown == 3
    assert outcome.traceback is not None
    assert "down" in outcome.traceback


def test_a_retry_without_an_error_has_none_to_tell():
    outcome = attempt(a_task(max_retries=1).retry, a_task(), nullcontext())
    assert outcome == Again(None, None, 0)


def test_after_the_last_retry_the_error_itself_fails_the_task():
    task = a_task(max_retries=2, attempt=3)
    error = ConnectionError("down")
    outcome = attempt(lambda: task.retry(error), task, nullcontext())
    assert isinstance(outcome, Raised)
    assert outcome.error is error


def test_after_the_last_retry_without_an_error_the_task_fails_with_a_clear_one():
    task = a_task(max_retries=0)
    with pytest.raises(MaxRetriesExceededError, match="max_retries") as caught:
        task.retry()
    assert caught.value.attempts == 1


def test_tasks_nest_and_the_outer_one_comes_back():
    outer, inner = a_task(id="outer"), a_task(id="inner")
    with running(outer):
        with running(inner):
            assert current_task() is inner
        assert current_task() is outer
        with pytest.raises(Retry), running(inner):
            raise Retry(None, 0)
        assert current_task() is outer
    assert current_task() is None
