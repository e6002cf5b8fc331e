"""Section 6 of the design: how the facts of the worker and the caller change a task."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

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
    unknown,
    updated,
)

FINISHES = {"SUCCESS": succeeded, "FAILURE": failed, "REVOKED": revoked, "REJECTED": rejected}


def test_an_ordinary_run_tells_all_that_is_known_of_it():
    meta = fold(
        sent(name="add", args=[1, 2], kwargs={}, queue="q", retries=0, parent_id="p", previous_id="c", root_id="r"),
        received(worker="w1"),
        started(worker="w2", pid=7, attempt=1),
        succeeded(children=[], runtime=1.5),
    )

    assert (meta.state, meta.result, meta.children, meta.ready, meta.finished) == ("SUCCESS", 42, [], True, True)
    assert (meta.name, meta.args, meta.kwargs, meta.queue, meta.retries) == ("add", [1, 2], {}, "q", 0)
    assert (meta.parent_id, meta.previous_id, meta.root_id) == ("p", "c", "r")
    assert (meta.worker, meta.pid, meta.attempts, meta.runtime) == ("w2", 7, 1, 1.5)
    assert (meta.sent_at, meta.received_at, meta.started_at, meta.date_done) == (moment(0), moment(1), moment(2), moment(4))
    assert meta.queue_time == 2
    assert (meta.first_offset, meta.last_offset, meta.facts, meta.log_time, meta.born_at) == (0, 3, 4, LOG_EPOCH + 3, LOG_EPOCH)


def test_a_state_is_plain_text_as_a_row_read_back_has_it():
    tale = [sent(), received(), started(), updated(), retried(), started(), failed()]

    assert {type(fold(*tale[:n]).state) for n in range(1, len(tale) + 1)} == {str}


def test_after_sent_the_state_is_pending():
    assert fold(sent()).state == "PENDING"


def test_received_moves_pending_to_received():
    assert fold(sent(), received()).state == "RECEIVED"


@pytest.mark.parametrize("opening", [started(), updated(), retried(), failed(), revoked(), rejected()])
def test_sent_and_received_never_take_an_attempt_back(opening):
    before = fold(opening)

    meta = fold(sent(), received(), meta=before)

    assert (meta.state, meta.finished, meta.error, meta.date_done) == (before.state, before.finished, before.error, before.date_done)
    assert (meta.sent_at, meta.received_at) == (moment(0), moment(1))


def test_sent_does_not_take_received_back():
    assert fold(received(), sent()).state == "RECEIVED"


def test_a_known_field_survives_a_null():
    known = sent(name="add", args=[], kwargs={}, queue="q", retries=1, parent_id="p", group_id="g", group_index=0, ignore_result=False)
    before = fold(known, received(worker="w"), started(worker="w", pid=7))

    meta = fold(sent(), received(), started(), meta=before)

    names = ("name", "args", "kwargs", "queue", "retries", "parent_id", "group_id", "group_index", "ignore_result", "worker", "pid")
    assert [getattr(meta, name) for name in names] == [getattr(before, name) for name in names]
    assert None not in [getattr(meta, name) for name in names]


def test_a_later_name_args_queue_retries_or_worker_replaces_the_earlier():
    meta = fold(
        sent(name="a", args=[1], kwargs={"k": 1}, queue="q1", retries=0),
        sent(name="b", args=[], kwargs={}, queue="q2", retries=1),
        received(worker="w1"),
        received(worker="w2"),
    )

    assert (meta.name, meta.args, meta.kwargs, meta.queue, meta.retries, meta.worker) == ("b", [], {}, "q2", 1, "w2")


def test_the_first_lineage_group_eta_and_times_stay():
    first = {"parent_id": "p1", "previous_id": "c1", "root_id": "r1", "group_id": "g1", "group_index": 0, "ignore_result": False}
    second = {"parent_id": "p2", "previous_id": "c2", "root_id": "r2", "group_id": "g2", "group_index": 1, "ignore_result": True}

    meta = fold(
        sent(**first, eta=moment(7), expires=moment(8)),
        received(),
        sent(**second, eta=moment(17), expires=moment(18), second=9),
        received(second=10),
    )

    assert {name: getattr(meta, name) for name in first} == first
    assert (meta.eta, meta.expires, meta.sent_at, meta.received_at) == (moment(7), moment(8), moment(0), moment(1))


def test_a_task_is_never_its_own_ancestor():
    meta = fold(sent(task_id="t", parent_id="t", previous_id="t"))

    assert (meta.parent_id, meta.previous_id) == (None, None)


def test_started_opens_an_attempt():
    meta = fold(sent(), started(worker="w", pid=7))

    assert (meta.state, meta.attempts, meta.started_at, meta.first_started_at) == ("STARTED", 1, moment(2), moment(2))


def test_attempts_count_starts_and_believe_a_number_that_was_given():
    assert fold(started(), started()).attempts == 2
    assert fold(started(attempt=3)).attempts == 3
    assert fold(started(attempt=3), started(attempt=2)).attempts == 3
    assert fold(started(attempt=3), started()).attempts == 4
    assert fold(started(attempt=0)).attempts == 1


def test_a_second_start_keeps_the_time_of_the_first():
    meta = fold(started(second=2), retried(), started(second=9))

    assert (meta.first_started_at, meta.started_at) == (moment(2), moment(9))


def test_a_start_clears_what_the_last_attempt_left():
    meta = fold(started(), updated(), retried(when=moment(9)), started())

    assert (meta.state, meta.result, meta.progress, meta.error, meta.traceback, meta.retry_at) == ("STARTED", None, None, None, None, None)


def test_updated_sets_the_custom_state_and_its_meta():
    meta = fold(started(), updated(state="HALF", meta={"n": 1}))

    assert (meta.state, meta.result, meta.progress, meta.ready) == ("HALF", {"n": 1}, {"n": 1}, False)


def test_retried_closes_the_attempt_with_its_error_and_the_next_time():
    meta = fold(started(), updated(), retried(when=moment(60)))

    assert (meta.state, meta.error, meta.traceback, meta.retry_at) == ("RETRY", ERROR, "Traceback…", moment(60))
    assert (meta.result, meta.finished, meta.ready) == (None, False, False)


def test_success_takes_away_the_error_of_an_earlier_attempt():
    meta = fold(started(), retried(when=moment(9)), succeeded())

    assert (meta.state, meta.error, meta.traceback, meta.retry_at, meta.result) == ("SUCCESS", None, None, None, 42)


def test_failure_has_an_error_and_no_result():
    meta = fold(started(), updated(), failed(children=[["c", None]], runtime=2.0, worker="w"))

    assert (meta.state, meta.error, meta.traceback, meta.result) == ("FAILURE", ERROR, "Traceback…", None)
    assert (meta.children, meta.runtime, meta.worker, meta.date_done, meta.finished) == ([["c", None]], 2.0, "w", moment(4), True)


def test_revoked_says_why_and_how():
    meta = fold(sent(), revoked(reason="expired", terminated=True, signal="TERM"))

    assert (meta.state, meta.ready, meta.date_done) == ("REVOKED", True, moment(4))
    assert meta.revocation == {"reason": "expired", "terminated": True, "signal": "TERM"}


def test_rejected_finishes_without_making_ready():
    meta = fold(received(), rejected())

    assert (meta.state, meta.finished, meta.ready, meta.date_done) == ("REJECTED", True, False, moment(4))
    assert meta.expires_at == LOG_EPOCH + 1 + UNFINISHED_EXPIRES


@pytest.mark.parametrize(
    "later",
    [
        sent(name="other", second=9),
        started(second=9, attempt=9),
        updated(second=9),
        retried(second=9),
        rejected(second=9),
        failed(second=9),
        revoked(second=9),
        succeeded(result="other", result_expires=1, second=9),
        unknown(second=9),
    ],
    ids=lambda event: event.kind,
)
@pytest.mark.parametrize("observed", [False, True])
def test_success_is_sticky(later, observed):
    # given
    before = fold(sent(name="add"), succeeded(result_expires=3600))

    # when
    meta = fold(replace(later, observed=observed), meta=before)

    # then
    assert meta == before.evolve(last_offset=2, facts=3, log_time=LOG_EPOCH + 2, seen=meta.seen)


@pytest.mark.parametrize("observed", [False, True])
def test_what_was_sent_and_received_may_be_told_after_the_success(observed):
    # given
    before = fold(succeeded(result=1, worker="w"))

    # when
    meta = fold(
        replace(sent(name="add", previous_id="p", root_id="r", second=1), observed=observed),
        replace(received(worker="other", second=2), observed=observed),
        meta=before,
    )

    # then
    assert (meta.name, meta.previous_id, meta.root_id, meta.sent_at, meta.received_at) == ("add", "p", "r", moment(1), moment(2))
    assert (meta.state, meta.result, meta.worker, meta.date_done, meta.expires_at) == (
        before.state, before.result, "w", before.date_done, before.expires_at,
    )  # fmt: skip


@pytest.mark.parametrize("first", ["FAILURE", "REJECTED"])
@pytest.mark.parametrize("second", ["SUCCESS", "FAILURE", "REVOKED"])
def test_failure_and_rejected_give_way_to_a_later_finishing_fact(first, second):
    meta = fold(FINISHES[first](runtime=1.0, children=[1]) if first == "FAILURE" else rejected(), FINISHES[second](second=9))

    assert (meta.state, meta.date_done) == (second, moment(9))
    assert (meta.runtime, meta.children) == (None, None)
    assert (meta.error is None) == (second != "FAILURE")
    assert (meta.revocation is None) == (second != "REVOKED")


def test_revoked_gives_way_to_success_alone():
    assert fold(revoked(), failed(second=9)).state == "REVOKED"
    assert fold(revoked(), revoked(reason="again", second=9)).revocation["reason"] == "enough"
    meta = fold(revoked(), succeeded(second=9))
    assert (meta.state, meta.revocation) == ("SUCCESS", None)


@pytest.mark.parametrize("finish", ["FAILURE", "REJECTED", "REVOKED"])
@pytest.mark.parametrize("second", [4, 9])
def test_a_start_not_before_the_finish_opens_a_new_attempt(finish, second):
    meta = fold(started(), FINISHES[finish](), started(second=second))

    assert (meta.state, meta.finished, meta.attempts, meta.date_done) == ("STARTED", False, 2, None)
    assert (meta.error, meta.traceback, meta.revocation, meta.started_at) == (None, None, None, moment(second))
    assert meta.expires_at == LOG_EPOCH + 2 + UNFINISHED_EXPIRES


@pytest.mark.parametrize("finish", ["FAILURE", "REJECTED", "REVOKED"])
def test_a_start_before_the_finish_is_history_only(finish):
    before = fold(started(), FINISHES[finish]())

    meta = fold(started(second=3, attempt=8, worker="other"), meta=before)

    changes = {"last_offset": 2, "facts": 3, "log_time": LOG_EPOCH + 2, "seen": meta.seen, "expires_at": meta.expires_at}
    assert meta == before.evolve(**changes)


@pytest.mark.parametrize("finish", ["FAILURE", "REJECTED", "REVOKED"])
@pytest.mark.parametrize("late", [retried(second=9), updated(second=9), rejected(second=9)], ids=lambda event: event.kind)
def test_retried_updated_and_rejected_count_only_while_the_attempt_is_open(finish, late):
    before = fold(started(), FINISHES[finish]())

    meta = fold(late, meta=before)

    assert (meta.state, meta.date_done, meta.error, meta.finished) == (before.state, before.date_done, before.error, True)


def test_a_new_attempt_after_a_failure_may_be_updated_and_retried():
    meta = fold(started(), failed(), started(second=9), updated(second=10), retried(second=11))

    assert (meta.state, meta.attempts) == ("RETRY", 2)


def test_an_unknown_kind_adds_to_history_alone():
    before = fold(started())

    meta = fold(unknown(), meta=before)

    assert (meta.facts, meta.last_offset, meta.state, meta.attempts) == (2, 1, "STARTED", 1)
