"""Section 6 of the design: what a fact that was learned on the side may tell, and what it may not."""

from __future__ import annotations

import pytest

from eventresults.domain.fold import UNFINISHED_EXPIRES
from tests.support.events import (
    ERROR,
    LOG_EPOCH,
    failed,
    fold,
    moment,
    received,
    rejected,
    retried,
    revoked,
    sent,
    started,
    succeeded,
    updated,
)

KINDS = [sent, received, started, updated, succeeded, failed, retried, revoked, rejected]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_observed_fact_makes_an_id_exist_and_leaves_it_pending(kind):
    meta = fold(kind(observed=True))

    assert (meta.exists, meta.state, meta.finished, meta.date_done) == (True, "PENDING", False, None)
    assert (meta.result, meta.error, meta.traceback, meta.children, meta.progress) == (None, None, None, None, None)
    assert meta.expires_at == LOG_EPOCH + UNFINISHED_EXPIRES


def test_an_observed_fact_fills_what_is_missing():
    meta = fold(
        sent(name="add", args=[1], root_id="r", observed=True),
        received(worker="w1", observed=True),
        started(worker="w2", pid=7, attempt=1, observed=True),
        succeeded(worker="w3", runtime=1.5, observed=True),
    )

    assert (meta.name, meta.args, meta.root_id, meta.worker, meta.pid) == ("add", [1], "r", "w1", 7)
    assert (meta.sent_at, meta.received_at, meta.started_at, meta.first_started_at) == (moment(0), moment(1), moment(2), moment(2))
    assert (meta.attempts, meta.runtime, meta.state) == (1, 1.5, "PENDING")


def test_an_observed_fact_replaces_nothing():
    before = fold(sent(name="add", queue="q"), received(worker="w"), started(worker="w", pid=7, attempt=1))

    meta = fold(
        sent(name="other", queue="other", second=9, observed=True),
        received(worker="other", second=9, observed=True),
        started(worker="other", pid=8, attempt=1, second=9, observed=True),
        meta=before,
    )

    names = ("name", "queue", "worker", "pid", "sent_at", "received_at", "started_at", "attempts", "state")
    assert [getattr(meta, name) for name in names] == [getattr(before, name) for name in names]


def test_an_observed_runtime_stays_when_the_worker_tells_none():
    meta = fold(succeeded(runtime=1.5, observed=True), succeeded())

    assert (meta.state, meta.runtime) == ("SUCCESS", 1.5)


def test_an_observed_runtime_does_not_outlive_its_attempt():
    meta = fold(failed(), failed(runtime=1.5, observed=True), succeeded())

    assert (meta.state, meta.runtime) == ("SUCCESS", None)


def test_an_observed_start_of_another_attempt_counts_it_and_moves_its_time():
    meta = fold(started(attempt=1), retried(), started(attempt=2, second=9, observed=True))

    assert (meta.state, meta.attempts, meta.started_at, meta.first_started_at) == ("RETRY", 2, moment(9), moment(2))


@pytest.mark.parametrize("finish", [failed, revoked, rejected], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("second", [4, 9])
def test_an_observed_start_not_before_the_finish_opens_an_attempt_and_keeps_the_state(finish, second):
    # given
    before = fold(started(), finish())

    # when
    meta = fold(started(second=second, observed=True), meta=before)

    # then
    assert (meta.finished, meta.attempts, meta.started_at) == (False, 2, moment(second))
    names = ("state", "result", "error", "traceback", "children", "revocation", "date_done")
    assert [getattr(meta, name) for name in names] == [getattr(before, name) for name in names]
    assert meta.ready == before.ready
    if before.ready:
        assert meta.expires_at == before.expires_at


@pytest.mark.parametrize("finish", [failed, revoked, rejected], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("then", "state"), [(updated, "PROGRESS"), (retried, "RETRY"), (rejected, "REJECTED"), (failed, "FAILURE"), (revoked, "REVOKED")]
)
def test_the_worker_s_facts_count_in_an_attempt_that_an_observed_start_opened(finish, then, state):
    meta = fold(started(), finish(), started(second=9, observed=True), then(second=10))

    assert meta.state == state
    assert meta.date_done == (None if state in {"PROGRESS", "RETRY"} else moment(10))
    assert meta.error == (ERROR if then in (failed, retried) else None)
    assert (meta.revocation is None) == (state != "REVOKED")
    if not meta.ready:
        assert meta.expires_at == LOG_EPOCH + 3 + UNFINISHED_EXPIRES


def test_an_observed_start_from_before_the_finish_fills_blanks_and_opens_nothing():
    meta = fold(failed(second=9), started(second=2, worker="w", pid=7, observed=True))

    assert (meta.finished, meta.state) == (True, "FAILURE")
    assert (meta.attempts, meta.started_at, meta.first_started_at, meta.worker, meta.pid) == (1, moment(2), moment(2), "w", 7)


def test_an_observed_start_from_before_the_finish_is_not_counted_twice():
    assert fold(started(), failed(), started(second=2, observed=True)).attempts == 1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("end", [started, failed, revoked, rejected, retried, updated], ids=lambda kind: kind.__name__)
def test_an_observed_fact_never_changes_state_result_error_or_children(kind, end):
    before = fold(started(), end())

    meta = fold(kind(second=9, observed=True), meta=before)

    names = ("state", "result", "error", "traceback", "children", "progress", "date_done", "revocation", "retry_at")
    assert [getattr(meta, name) for name in names] == [getattr(before, name) for name in names]
    assert meta.facts == before.facts + 1
