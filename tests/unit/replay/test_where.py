"""Conditions on events."""

from __future__ import annotations

import pytest

from eventresults.replay.where import Where
from tests.support.events import failed, group_saved, sent, started, succeeded, unknown

SENT = sent(task_id="a", name="resize", queue="q", kwargs={"customer": "ada", "sizes": [1, 2]})


@pytest.mark.parametrize(
    ("condition", "event", "holds"),
    [
        ("kind=task-sent", SENT, True),
        ("kind=task-sent", started(task_id="a"), False),
        ("kind!=task-sent", started(task_id="a"), True),
        ("kind~task-*", SENT, True),
        ("kind = task-sent", SENT, True),
        ("id=a", SENT, True),
        ("id=g", group_saved(group_id="g"), True),
        ("kwargs.customer=ada", SENT, True),
        ("kwargs.sizes.1=2", SENT, True),
        ("kwargs.sizes.7=2", SENT, False),
        ("kwargs.customer.name=ada", SENT, False),
        ("kwargs.sizes=[1, 2]", SENT, True),
        ("observed=false", SENT, True),
        ("runtime>1", succeeded(task_id="a", runtime=1.5), True),
        ("runtime<1", succeeded(task_id="a", runtime=1.5), False),
        ("runtime>1", succeeded(task_id="a"), False),
        ("result=null", succeeded(task_id="a", result=None), True),
        ("error.type=ValueError", failed(task_id="a", error={"type": "ValueError"}), True),
        ("error.type~*Error", succeeded(task_id="a"), False),
        ("colour=red", unknown(subject="a", fields={"colour": "red"}), True),
        ("nonsense=1", SENT, False),
        ("nonsense!=1", SENT, True),
    ],
)
def test_a_condition_holds_or_does_not(condition, event, holds):
    assert Where([condition]).matches(event) is holds


def test_all_conditions_must_hold():
    assert Where(["kind=task-sent", "name=resize"]).matches(SENT)
    assert not Where(["kind=task-sent", "name=other"]).matches(SENT)
    assert Where().matches(SENT)


def test_what_a_task_was_sent_with_counts_for_its_later_facts():
    where = Where(["name~res*", "kwargs.customer=ada"])
    assert [where.matches(one) for one in (SENT, started(task_id="a"), started(task_id="b"))] == [True, True, False]


def test_it_can_learn_without_judging():
    where = Where(["name=resize"])
    assert where.remembers
    where.learn(SENT)
    assert where.matches(started(task_id="a"))
    assert not Where(["kind=task-sent"]).remembers


@pytest.mark.parametrize("text", ["", "kind", "=x", "runtime>soon", "7=x"])
def test_what_is_no_condition_says_how_to_write_one(text):
    with pytest.raises(ValueError, match="no condition|no number"):
        Where([text])
