"""What a task process asks for is done here, and the answer always travels back."""

from __future__ import annotations

import pytest

from eventresults.errors import NotPicklable
from eventresults.worker import shipping
from eventresults.worker.context import CurrentTask, current_task
from eventresults.worker.processes import _answer
from tests.support import tasks


class Home:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.seen: list[object] = []

    def update(self, task, state, meta):
        self.seen.append((current_task(), state, meta))
        if self.error is not None:
            raise self.error

    def submits(self, task):
        raise AssertionError("nothing is sent here")


def ask(home: Home, value: object) -> tuple[bool, object]:
    right, raw = _answer(CurrentTask(id="a", name="n", home=home), "update", shipping.pack_value(value, "it"))
    return right, shipping.unpack_value(raw, "it")


def test_a_question_is_answered_as_if_the_task_ran_here():
    home = Home()
    assert ask(home, ("PROGRESS", 1)) == (True, None)
    [(task, state, meta)] = home.seen
    assert (task.id, state, meta) == ("a", "PROGRESS", 1)
    assert current_task() is None


def test_an_error_goes_back_as_it_is():
    right, error = ask(Home(ValueError("no")), ("PROGRESS", 1))
    assert not right
    assert repr(error) == "ValueError('no')"


def test_an_error_that_cannot_travel_goes_back_as_one_that_can():
    right, error = ask(Home(tasks.Awkward(1, b=2)), ("PROGRESS", 1))
    assert not right
    assert isinstance(error, NotPicklable)


@pytest.mark.parametrize("value", [tasks.Shapeless(), ("too", "many", "values", "here")])
def test_a_question_that_makes_no_sense_is_an_error_of_the_task(value):
    right, error = ask(Home(), value)
    assert not right
    assert isinstance(error, TypeError)
