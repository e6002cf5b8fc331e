"""Section 6 of the design: where lives begin and end, what is dropped, and which facts count only once."""

from __future__ import annotations

from typing import get_args

import pytest
from msgspec.structs import asdict

from eventresults.domain import fold as fold_module
from eventresults.domain.events import Event
from eventresults.domain.fold import UNFINISHED_EXPIRES, TaskKind, apply, reason_dropped
from eventresults.domain.meta import TaskMeta
from eventresults.domain.position import Position
from tests.support.events import (
    LOG_EPOCH,
    TASK,
    data_erased,
    failed,
    fold,
    forgotten,
    moment,
    received,
    rejected,
    retried,
    revoke_requested,
    revoked,
    sent,
    started,
    succeeded,
    unknown,
    updated,
)

TELLING = [sent, received, started, updated, succeeded, failed, retried, revoked, rejected]
REOPENING = [sent, received, started, succeeded, failed, revoked]
NAMED = {"ids": lambda kind: kind.__name__}


def dropped(event, meta=None, offset=100, log_time=LOG_EPOCH + 100):
    """Why it was dropped; None when it was folded."""
    at = Position(0, offset)
    return reason_dropped(meta, event, at) if apply(meta, event, at, log_time) is meta else None


# The first fact of an id


@pytest.mark.parametrize("kind", TELLING, **NAMED)
def test_every_fact_that_tells_of_a_task_makes_its_id_exist(kind):
    meta = apply(None, kind(), Position(3, 7), LOG_EPOCH)

    assert (meta.task_id, meta.exists, meta.facts, meta.partition, meta.first_offset, meta.last_offset) == (TASK, True, 1, 3, 7, 7)
    assert (meta.born_at, meta.log_time) == (LOG_EPOCH, LOG_EPOCH)


@pytest.mark.parametrize("kind", [forgotten, data_erased, unknown], **NAMED)
def test_forgetting_and_unknown_kinds_concern_nothing_where_nothing_is(kind):
    assert dropped(kind()) == "nothing-there"


# Revoke requests


def test_a_revoke_request_alone_makes_no_id_exist():
    meta = fold(revoke_requested(terminate=True, signal="KILL", reason="why", by="me"))

    assert (meta.exists, meta.phase, meta.state) == (False, "requested", "PENDING")
    assert meta.revoke_request == {"terminate": True, "signal": "KILL", "reason": "why", "by": "me"}
    assert meta.expires_at == LOG_EPOCH + UNFINISHED_EXPIRES


def test_revoked_alone_makes_an_id_exist():
    assert fold(revoked()).exists


@pytest.mark.parametrize("kind", [sent, received, started, updated, retried, rejected], **NAMED)
@pytest.mark.parametrize("observed", [False, True])
def test_a_requested_task_becomes_alive_and_keeps_the_request(kind, observed):
    meta = fold(revoke_requested(by="me"), kind(observed=observed))

    assert (meta.exists, meta.facts, meta.first_offset) == (True, 2, 0)
    assert meta.revoke_request["by"] == "me"


@pytest.mark.parametrize("event", [unknown(), revoke_requested(observed=True)], ids=lambda event: event.kind)
def test_what_tells_nothing_leaves_a_requested_task_requested(event):
    assert fold(revoke_requested(), event).phase == "requested"


def test_the_last_of_several_revoke_requests_holds():
    assert fold(sent(), revoke_requested(by="a"), revoke_requested(by="b")).revoke_request["by"] == "b"


@pytest.mark.parametrize("finish", [succeeded, failed, revoked], **NAMED)
def test_a_revoke_request_goes_once_the_task_is_ready(finish):
    assert fold(started(), revoke_requested(), finish()).revoke_request is None


@pytest.mark.parametrize("finish", [succeeded, failed, revoked], **NAMED)
def test_a_revoke_request_for_a_finished_task_is_history_only(finish):
    meta = fold(started(), finish(), revoke_requested())

    assert (meta.revoke_request, meta.facts) == (None, 3)


def test_a_rejected_task_may_be_taken_up_again_so_a_revoke_request_holds():
    assert fold(received(), rejected(), revoke_requested(by="me")).revoke_request["by"] == "me"


def test_an_observed_revoke_request_binds_nobody():
    assert dropped(revoke_requested(observed=True)) == "nothing-there"
    assert fold(sent(), revoke_requested(observed=True)).revoke_request is None


# Forgetting


def test_forgotten_ends_the_life_and_leaves_a_tombstone():
    before = fold(sent(name="add", args=["secret"]), revoke_requested(), failed(result_expires=60, worker="w"))

    stone = fold(forgotten(), meta=before)

    assert (stone.exists, stone.phase, stone.state, stone.expires_at) == (False, "forgotten", "PENDING", before.expires_at)
    assert (stone.facts, stone.last_offset, stone.log_time, stone.born_at) == (4, 3, LOG_EPOCH + 3, LOG_EPOCH)
    books = {
        "task_id",
        "phase",
        "date_done",
        "first_offset",
        "last_offset",
        "facts",
        "born_at",
        "log_time",
        "expires_at",
        "seen",
    }
    assert {name for name, value in asdict(stone).items() if value != getattr(TaskMeta(task_id=""), name)} == books


def test_a_success_can_be_forgotten():
    assert not fold(succeeded(), forgotten()).exists


def test_a_request_to_revoke_is_forgotten_with_the_rest():
    meta = fold(revoke_requested(), forgotten(), sent())

    assert (meta.exists, meta.revoke_request) == (True, None)


def test_an_observed_forgetting_is_history_only():
    meta = fold(sent(), forgotten(observed=True))

    assert (meta.exists, meta.facts) == (True, 2)


@pytest.mark.parametrize("kind", REOPENING, **NAMED)
def test_a_new_fact_after_forgetting_starts_a_new_life(kind):
    stone = fold(sent(name="old"), started(), failed(), forgotten())

    meta = fold(kind(second=0), meta=stone)

    assert (meta.exists, meta.name, meta.facts, meta.first_offset, meta.born_at) == (True, None, 1, 4, LOG_EPOCH + 4)
    assert meta == fold(kind(second=0), offset=4).evolve(seen=meta.seen)


@pytest.mark.parametrize("kind", [updated, retried, rejected, revoke_requested, forgotten, data_erased, unknown], **NAMED)
def test_what_cannot_begin_a_life_is_dropped_after_forgetting(kind):
    assert dropped(kind(second=99), fold(sent(), forgotten())) == "after-forgotten"


@pytest.mark.parametrize("kind", [*TELLING, revoke_requested, forgotten, data_erased, unknown], **NAMED)
def test_an_observed_fact_after_forgetting_is_dropped(kind):
    assert dropped(kind(second=5, observed=True), fold(sent(), forgotten(second=5))) == "after-forgotten"


def test_an_observed_sent_of_after_the_forgetting_starts_a_new_life():
    meta = fold(sent(), forgotten(second=5), sent(second=5.000001, observed=True))

    assert (meta.exists, meta.sent_at, meta.facts) == (True, moment(5.000001), 1)


def test_a_repeated_fact_of_the_forgotten_life_starts_no_new_one():
    first = sent()

    assert dropped(first, fold(first, succeeded(), forgotten())) == "duplicate"


def test_a_new_life_still_knows_the_facts_of_the_forgotten_one():
    first = sent()

    assert dropped(first, fold(first, forgotten(), sent(), received())) == "duplicate"


# Expiry


def test_an_unfinished_life_expires_after_its_latest_fact():
    thirty_days = 2_592_000_000

    assert fold(sent(), received(), started()).expires_at == LOG_EPOCH + 2 + thirty_days


def test_unfinished_lives_last_as_long_as_they_are_told_to():
    assert apply(None, sent(), Position(0, 0), LOG_EPOCH, unfinished_expires=500).expires_at == LOG_EPOCH + 500
    assert apply(None, sent(), Position(0, 0), LOG_EPOCH, unfinished_expires=0).expires_at is None


@pytest.mark.parametrize("finish", [succeeded, failed, revoked], **NAMED)
@pytest.mark.parametrize(
    ("result_expires", "lasts"),
    [(60, 60_000), (0.25, 250), (1e-9, 1), (0, None), (None, None), (1e300, None)],
)
def test_a_finished_life_expires_as_its_finishing_fact_says(finish, result_expires, lasts):
    meta = fold(sent(), finish(result_expires=result_expires))

    assert meta.expires_at == (None if lasts is None else LOG_EPOCH + 1 + lasts)


def test_later_facts_do_not_prolong_a_finished_life():
    before = fold(failed(result_expires=60))

    assert fold(sent(), received(), unknown(), sent(observed=True), meta=before).expires_at == before.expires_at


@pytest.mark.parametrize("kind", [*TELLING, revoke_requested], **NAMED)
@pytest.mark.parametrize("end", [failed(result_expires=1), succeeded(result_expires=1), forgotten()], ids=lambda event: event.kind)
def test_a_fact_at_the_expiry_finds_nothing_and_opens_a_new_life(kind, end):
    # given
    before = fold(sent(name="old"), failed(result_expires=1), end)
    until_expiry = before.expires_at - (LOG_EPOCH + before.last_offset + 1)
    event = kind()

    # when
    meta = fold(event, meta=before, after=until_expiry)

    # then
    assert meta == fold(event, offset=before.last_offset + 1, after=until_expiry).evolve(seen=meta.seen)


def test_a_fact_just_before_the_expiry_belongs_to_the_old_life():
    before = fold(failed(result_expires=1))

    meta = fold(sent(), meta=before, after=before.expires_at - LOG_EPOCH - 2)

    assert (meta.facts, meta.log_time, meta.state) == (2, before.expires_at - 1, "FAILURE")


@pytest.mark.parametrize("kind", [forgotten, data_erased, unknown], **NAMED)
def test_forgetting_and_unknown_kinds_concern_nothing_once_a_life_expired(kind):
    expired = fold(failed(result_expires=1))

    assert dropped(kind(), expired, log_time=expired.expires_at) == "nothing-there"


# What counts only once


def test_a_repeated_event_id_folds_once():
    first = started()

    assert dropped(first, fold(sent(), first, retried())) == "duplicate"


def test_the_last_64_event_ids_are_remembered():
    tale = [started() for _ in range(65)]
    meta = fold(*tale)

    assert len(meta.seen) == 64 * 8
    assert dropped(tale[1], meta) == "duplicate"
    assert dropped(tale[0], meta) is None


def test_a_dropped_duplicate_is_not_remembered_again():
    tale = [started() for _ in range(64)]
    meta = fold(*tale, tale[63], tale[62], started())

    assert dropped(tale[1], meta) == "duplicate"
    assert dropped(tale[0], meta) is None


def test_facts_without_an_event_id_repeat_nothing():
    meta = fold(started(event_id=""), started(event_id=""))

    assert (meta.attempts, meta.seen) == (2, b"")


def test_bytes_that_straddle_two_event_ids_are_no_repetition():
    marks = fold(started(), started()).seen
    event = started()
    own = fold(event).seen

    meta = fold(started()).evolve(seen=marks[:3] + own + marks[3:8])

    assert dropped(event, meta) is None
    assert dropped(event, meta.evolve(seen=meta.seen + own)) == "duplicate"


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_an_offset_folds_once(offset):
    meta = fold(sent(), started(), failed())

    assert dropped(started(second=99), meta, offset=offset) == "refolded"


def test_a_repeated_fact_of_an_expired_life_opens_no_new_one():
    first = failed(result_expires=1)
    expired = fold(first)

    assert dropped(first, expired, log_time=expired.expires_at) == "duplicate"
    assert dropped(first, fold(sent(), meta=expired, after=2000)) == "duplicate"


def test_an_offset_of_an_expired_life_is_still_folded():
    expired = fold(failed(result_expires=1))

    assert dropped(sent(), expired, offset=0, log_time=expired.expires_at + 1) == "refolded"


def test_another_partition_has_offsets_of_its_own():
    meta = apply(fold(sent(), received()), started(), Position(1, 0), LOG_EPOCH)

    assert (meta.partition, meta.last_offset, meta.position, meta.facts) == (1, 0, Position(1, 0), 3)


def test_every_kind_of_fact_leaves_its_books_the_same_way():
    before = fold(sent())

    for kind in [*TELLING, revoke_requested, forgotten, data_erased, unknown]:
        event: Event = kind()
        meta = apply(before, event, Position(0, 7), LOG_EPOCH + 9)
        assert (meta.last_offset, meta.log_time, meta.facts, len(meta.seen)) == (7, LOG_EPOCH + 9, 2, 16)


def test_every_kind_of_fact_of_a_task_has_its_step_in_every_case():
    for table in (fold_module._DECIDING, fold_module._INFORMING, fold_module._COMPLETING):
        assert set(table) == set(get_args(TaskKind))
