"""An attempt that was lost with its worker sends no word of that: the start of the next one tells."""

from __future__ import annotations

import pytest

from tests.support.events import failed, fold, rejected, retried, revoked, started, succeeded, updated

OBSERVED = [False, True]


@pytest.mark.parametrize("observed", OBSERVED)
def test_an_attempt_of_whose_end_nobody_told_is_closed_as_lost_when_the_next_one_starts(observed):
    # given
    before = fold(started(observed=observed))
    assert (before.running, before.lost) == (True, 0)

    # when
    meta = fold(started(second=9, observed=observed), meta=before)

    # then
    assert (meta.attempts, meta.running, meta.lost) == (2, True, 1)


@pytest.mark.parametrize("observed", OBSERVED)
@pytest.mark.parametrize("end", [failed, retried, rejected, revoked], ids=lambda end: end.__name__)
def test_an_attempt_whose_end_was_told_is_not_lost(end, observed):
    meta = fold(started(observed=observed), end(observed=observed), started(second=9, observed=observed))

    assert (meta.attempts, meta.running, meta.lost) == (2, True, 0)


def test_an_ignored_attempt_is_not_lost():
    meta = fold(started(observed=True), updated(state="IGNORED", meta=None, observed=True), started(second=9, observed=True))

    assert (meta.attempts, meta.lost, meta.state) == (2, 0, "PENDING")


def test_progress_ends_no_attempt():
    assert fold(started(), updated(), started(second=9)).lost == 1


def test_nothing_runs_after_the_end():
    meta = fold(started(observed=True), started(second=5, observed=True), succeeded(second=9))

    assert (meta.attempts, meta.running, meta.lost) == (2, False, 1)


def test_a_retry_that_is_told_after_the_next_start_takes_the_loss_back():
    # given: the worker of the next attempt was quicker
    before = fold(started(observed=True), started(second=5, observed=True))
    assert before.lost == 1

    # when
    meta = fold(retried(second=4), meta=before)

    # then
    assert (meta.running, meta.lost) == (True, 0)


def test_the_same_numbered_start_told_twice_loses_nothing():
    meta = fold(started(attempt=1), started(attempt=1, second=3))

    assert (meta.attempts, meta.lost) == (1, 0)
