"""What is said of what holds a view up, by an owner and by a member of a group."""

from __future__ import annotations

import logging

import pytest

from eventresults.errors import LogUnavailable, ViewError
from eventresults.service import trouble as trouble_module
from eventresults.service.trouble import Trouble
from eventresults.view.live import LiveView

AWAY = LogUnavailable("broker 3 is on fire")


@pytest.fixture
def view() -> LiveView:
    return LiveView({}, {})


@pytest.fixture
def trouble(view) -> Trouble:
    return Trouble(view, "the view of group g at /views")


def test_readers_are_told_of_it_until_it_is_over(view, trouble):
    # when
    trouble.take(AWAY)
    # then
    assert view.trouble is AWAY

    # when
    trouble.over()
    # then
    assert view.trouble is None


def test_what_stays_the_same_is_logged_once(trouble, caplog):
    for _ in range(5):
        trouble.take(LogUnavailable("broker 3 is on fire"))
    assert caplog.messages == ["the view of group g at /views is held up: broker 3 is on fire"]

    # when
    trouble.take(LogUnavailable("broker 4 is on fire"))
    # then
    assert len(caplog.messages) == 2


def test_what_lasts_is_logged_again(trouble, caplog, monkeypatch):
    # given
    now = [100.0]
    monkeypatch.setattr(trouble_module, "monotonic", lambda: now[0])
    trouble.take(AWAY)

    # when
    now[0] += trouble_module.REPEAT_SECONDS + 1
    trouble.take(AWAY)

    # then
    assert len(caplog.messages) == 2


def test_a_defect_is_told_as_an_error_of_ours_and_logged_with_its_trace(view, trouble, caplog):
    # when
    try:
        raise KeyError("bug")
    except KeyError as error:
        trouble.take(error)

    # then
    assert isinstance(view.trouble, ViewError)
    assert "the projector failed: KeyError('bug')" in str(view.trouble)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "in test_a_defect" in caplog.text


def test_an_outage_is_no_defect(trouble, caplog):
    trouble.take(AWAY)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.exc_info is None
