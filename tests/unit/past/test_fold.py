from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eventresults.domain.events import TaskForgotten, TaskSent, TaskSucceeded
from eventresults.domain.position import Position
from eventresults.past import as_of
from eventresults.view.base import Fact

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def fact(offset, seconds, cls, **fields):
    """A fact that the log took so many seconds after noon; its writer's clock is an hour late."""
    event = cls(task_id="t", event_id=f"{offset}", time=NOON + timedelta(seconds=seconds - 3600), **fields)
    return Fact(Position(3, offset), int((NOON.timestamp() + seconds) * 1000), event)


HISTORY = [
    fact(5, 0, TaskSent),
    fact(7, 10, TaskSucceeded, result=1, result_expires=60),
    fact(9, 30, TaskForgotten),
    fact(11, 40, TaskSent),
]


@pytest.mark.parametrize(
    ("seconds", "state"),
    [(-0.001, None), (0, "PENDING"), (9.999, "PENDING"), (10, "SUCCESS"), (29, "SUCCESS"), (30, None), (39, None), (40, "PENDING")],
)
def test_a_time_is_of_the_logs_clock(seconds, state):
    meta = as_of(HISTORY, NOON + timedelta(seconds=seconds))

    assert (meta and meta.state) == state


@pytest.mark.parametrize(("offset", "state"), [(4, None), (5, "PENDING"), (6, "PENDING"), (7, "SUCCESS"), (9, None), (100, "PENDING")])
def test_a_position_is_included(offset, state):
    meta = as_of(HISTORY, Position(3, offset))

    assert (meta and meta.state) == state


def test_what_had_expired_was_not_there():
    assert as_of(HISTORY[:2], NOON + timedelta(seconds=69.9)).state == "SUCCESS"
    assert as_of(HISTORY[:2], NOON + timedelta(seconds=70)) is None


def test_a_task_without_an_end_is_kept_as_long_as_the_view_keeps_it():
    later = NOON + timedelta(days=2)

    assert as_of(HISTORY[:1], later).state == "PENDING"
    assert as_of(HISTORY[:1], later, unfinished_expires=24 * 3600 * 1000) is None
    assert as_of(HISTORY[:1], NOON + timedelta(days=1000), unfinished_expires=0).state == "PENDING"


def test_a_time_may_be_of_any_zone_but_must_have_one():
    local = NOON.astimezone(tz=None) + timedelta(seconds=10)

    assert as_of(HISTORY, local).state == "SUCCESS"
    with pytest.raises(ValueError, match="time zone"):
        as_of(HISTORY, local.replace(tzinfo=None))
    with pytest.raises(ValueError, match="partition 3"):
        as_of(HISTORY, Position(0, 7))


def test_nothing_was_known_of_what_has_no_history():
    assert as_of([], NOON) is None
    assert as_of([], Position(0, 0)) is None
