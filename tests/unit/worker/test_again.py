"""Running a recorded call again: with the same arguments, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest

from eventresults.domain.meta import TaskMeta
from eventresults.errors import ReplayRefused
from eventresults.worker.again import recorded_call
from eventresults.worker.job import name_of
from tests.support import tasks


def meta(**fields):
    return TaskMeta(task_id="t", **{"name": "builtins.pow", "args": [2, 10], **fields})


def test_the_same_call_is_run_again_as_a_task_of_its_own_that_says_what_it_repeats(pool):
    # given
    first = pool.options(queue="sums").submit(pow, 2, 10)
    first.get(timeout=10)

    # when
    again = pool.replay(first.id)

    # then
    assert again.get(timeout=10) == 1024
    assert again.id != first.id
    sent = again.history()[0]
    assert (sent.replay_of, sent.name, sent.args, sent.queue, sent.root_id) == (first.id, "builtins.pow", [2, 10], "sums", again.id)
    assert pool._app.read(again.id).replay_of == first.id


def test_arguments_come_back_as_the_python_values_they_were(pool):
    seen = []

    def keep(*args, **kwargs):
        seen.append((args, kwargs))

    when = datetime(2026, 1, 1, tzinfo=UTC)
    first = pool.submit(keep, (1, 2), {3, 4}, when=when, price=Decimal("1.50"))
    first.get(timeout=10)

    pool.replay(first.id, keep).get(timeout=10)

    assert seen[0] == seen[1] == (((1, 2), {3, 4}), {"when": when, "price": Decimal("1.50")})


def test_another_function_may_be_given(pool):
    first = pool.submit(pow, 2, 3)
    first.get(timeout=10)
    assert pool.replay(first.id, max).get(timeout=10) == 3


def test_a_method_is_found_by_its_qualified_name():
    assert recorded_call("t", meta(name=name_of(Fraction.from_float), args=[0.5]), None).make() == Fraction(1, 2)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"args": None}, "not recorded"),
        ({"args": [{"repr": "<object>", "flag": "not-encodable"}]}, r"args\[0\] was recorded as a text only \(not-encodable\)"),
        ({"kwargs": {"card": "[redacted]"}}, r"kwargs\['card'\] was redacted"),
        ({"kwargs": {"user": {"mail": "[redacted:0f3a]"}}}, r"kwargs\['user'\]\['mail'\] was redacted"),
        ({"args": {"repr": "(1, 2)", "flag": "given"}}, "args was recorded as a text only"),
        ({"args": [{"content_type": "application/x-python-serialize", "encoding": "base64", "body": "gA"}]}, "another serializer"),
        ({"name": "no.such.function"}, "no function 'no.such.function' is imported here"),
        ({"name": "tests.support.tasks.missing"}, "is imported here"),
        ({"name": None}, "is imported here"),
    ],
)
def test_what_the_log_does_not_hold_as_it_was_is_refused_with_the_reason(fields, says):
    assert tasks  # imported, and yet
    with pytest.raises(ReplayRefused, match=says) as caught:
        recorded_call("t", meta(**fields), None)
    assert caught.value.task_id == "t"


def test_a_function_of_a_module_that_nobody_imported_stays_unimported():
    import sys

    sys.modules.pop("antigravity", None)
    with pytest.raises(ReplayRefused):
        recorded_call("t", meta(name="antigravity.geohash"), None)
    assert "antigravity" not in sys.modules


def test_an_unknown_task_is_refused(pool):
    with pytest.raises(ReplayRefused, match="no such task is known"):
        pool.replay("nobody")
