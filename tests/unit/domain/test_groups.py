"""How the facts of a group add up: saving, counting a chord's parts, claiming and sending its body."""

from __future__ import annotations

import pytest

from eventresults.domain.fold import reason_dropped
from eventresults.domain.groups import apply_group, part_key
from eventresults.domain.position import Position
from tests.support.events import (
    GROUP,
    LOG_EPOCH,
    fold_group,
    group_dispatched,
    group_dispatching,
    group_forgotten,
    group_part,
    group_saved,
    group_sized,
    moment,
    unknown,
)

DECIDING = [group_saved, group_sized, group_part, group_dispatching, group_dispatched]
NAMED = {"ids": lambda kind: kind.__name__}


def dropped(event, meta=None, offset=100, log_time=LOG_EPOCH + 100):
    """Why it was dropped; None when it was folded."""
    at = Position(0, offset)
    return reason_dropped(meta, event, at) if apply_group(meta, event, at, log_time) is meta else None


@pytest.mark.parametrize("kind", DECIDING, **NAMED)
def test_every_deciding_fact_makes_a_group_exist(kind):
    meta = fold_group(kind())

    assert (meta.group_id, meta.exists, meta.facts, meta.first_offset, meta.born_at) == (GROUP, True, 1, 0, LOG_EPOCH)


@pytest.mark.parametrize("kind", [group_forgotten, lambda: unknown(GROUP)])
def test_forgetting_and_unknown_kinds_concern_nothing_where_no_group_is(kind):
    assert dropped(kind()) == "nothing-there"


def test_the_last_saved_results_hold():
    assert fold_group(group_saved(results=["a"]), group_saved(results=["b"])).results == ["b"]


def test_sized_sets_size_body_and_structure():
    meta = fold_group(group_sized(3, body={"task": "sum"}, structure=[1, [2]]))

    assert (meta.size, meta.body, meta.structure, meta.complete, meta.run) == (3, {"task": "sum"}, [1, [2]], False, 0)


def test_a_body_once_known_survives_a_size_without_one():
    meta = fold_group(group_sized(3, body="b", structure="s"), group_sized(2))

    assert (meta.size, meta.body, meta.structure) == (2, "b", "s")


def test_parts_are_kept_by_task_and_index():
    meta = fold_group(group_part("a", group_index=0, result=1), group_part("b", group_index=None, state="FAILURE", result=2))

    assert meta.parts == {"a/0": ["SUCCESS", 0], "b/": ["FAILURE", 1]}
    assert set(meta.parts) == {part_key("a", 0), part_key("b", None)}


def test_a_part_counts_once_and_its_first_word_holds():
    meta = fold_group(group_sized(2), group_part("a", result=1), group_part("a", result=2, state="FAILURE"))

    assert (meta.parts, meta.complete, meta.facts) == ({"a/0": ["SUCCESS", 1]}, False, 3)


def test_one_task_at_two_indexes_is_two_parts():
    assert fold_group(group_sized(2), group_part("a", group_index=0), group_part("a", group_index=1)).complete


def test_the_part_that_fills_the_count_completes_the_group():
    meta = fold_group(group_sized(2), group_part("a"), group_part("a"), group_part("b"), group_part("c"))

    assert (meta.complete, meta.completed_by) == (True, 3)


def test_a_size_that_comes_after_the_parts_completes_the_group():
    meta = fold_group(group_part("a"), group_part("b"), group_sized(2))

    assert (meta.complete, meta.completed_by) == (True, 2)


def test_a_group_of_no_parts_is_complete_at_once():
    meta = fold_group(group_sized(0))

    assert (meta.complete, meta.completed_by) == (True, 0)


def test_a_group_that_grew_is_completed_by_a_later_part():
    meta = fold_group(group_sized(1), group_part("a"), group_sized(2))
    assert (meta.complete, meta.completed_by) == (False, None)

    meta = fold_group(group_part("b"), meta=meta)
    assert (meta.complete, meta.completed_by) == (True, 3)


def test_the_same_size_again_leaves_the_completion_as_it_was():
    assert fold_group(group_sized(1), group_part("a"), group_sized(1)).completed_by == 1


def test_a_size_after_the_body_was_sent_opens_the_next_run():
    meta = fold_group(
        group_sized(1, body="b", structure="s"), group_part("a"), group_dispatching(), group_dispatched(), group_part("z"), group_sized(2)
    )

    assert (meta.run, meta.size, meta.parts, meta.completed_by, meta.claim, meta.dispatched) == (1, 2, None, None, None, None)
    assert (meta.body, meta.structure, meta.complete) == (None, None, False)

    meta = fold_group(group_part("a"), group_part("b"), meta=meta)
    assert (meta.completed_by, sorted(meta.parts)) == (7, ["a/0", "b/0"])


def test_a_fact_without_a_size_opens_the_next_run_too():
    meta = fold_group(group_sized(1), group_part("a"), group_dispatched(), group_sized(None, body="b", structure="s"))
    assert (meta.run, meta.size, meta.parts, meta.dispatched, meta.body, meta.complete) == (1, None, None, None, "b", False)

    meta = fold_group(group_part("a"), group_sized(1), meta=meta)
    assert (meta.run, meta.completed_by, meta.body, meta.structure) == (1, 5, "b", "s")


def test_a_task_that_joins_is_one_part_more_whenever_it_is_told():
    joins = group_sized(None, added="c")

    early = fold_group(group_part("a"), joins, group_sized(2), group_part("b"))
    assert (early.wanted, early.complete, early.completed_by) == (3, False, None)
    assert fold_group(group_part("c"), meta=early).completed_by == 4

    late = fold_group(group_sized(2), group_part("a"), joins, group_part("b"))
    assert (late.wanted, late.complete, late.completed_by) == (3, False, None)
    assert fold_group(group_part("c"), meta=late).completed_by == 4


def test_a_task_joins_once_and_for_one_run():
    meta = fold_group(group_sized(1), group_sized(None, added="c"), group_sized(None, added="c"))
    assert (meta.added, meta.wanted) == (["c"], 2)

    meta = fold_group(group_part("a"), group_part("c"), group_dispatched(), group_sized(None, added="d"), meta=meta)
    assert (meta.run, meta.dispatched) == (0, "body-1")

    meta = fold_group(group_sized(1), meta=meta)
    assert (meta.run, meta.added, meta.wanted) == (1, None, 1)


def test_a_claim_holds_against_another_until_its_time():
    first = fold_group(group_sized(1), group_dispatching("a", second=2, until=32))
    assert first.claim == {"by": "a", "body_id": "body-1", "until": moment(32)}

    assert fold_group(group_dispatching("b", second=31, until=61), meta=first).claim == first.claim
    assert fold_group(group_dispatching("b", second=32, until=62), meta=first).claim["by"] == "b"


def test_a_claimant_renews_its_own_claim():
    meta = fold_group(group_dispatching("a", second=2, until=32), group_dispatching("a", second=20, until=50))

    assert meta.claim["until"] == moment(50)


def test_a_body_that_was_sent_clears_the_claim_and_can_be_claimed_no_more():
    meta = fold_group(group_sized(1), group_dispatching("a"), group_dispatched(), group_dispatching("b", second=99, until=120))

    assert (meta.claim, meta.dispatched) == (None, "body-1")


def test_a_body_without_an_id_is_sent_all_the_same():
    assert fold_group(group_dispatched(body_id=None)).dispatched == ""


@pytest.mark.parametrize("kind", [*DECIDING, group_forgotten], **NAMED)
def test_an_observed_fact_adds_to_the_history_of_a_living_group_alone(kind):
    before = fold_group(group_sized(1), group_part("z"), group_dispatching("z"))

    meta = fold_group(kind(observed=True), meta=before)

    assert meta == before.evolve(last_offset=3, facts=4, log_time=LOG_EPOCH + 3, seen=meta.seen)
    assert dropped(kind(observed=True)) == "nothing-there"


def test_an_unknown_kind_adds_to_the_history_of_a_group_alone():
    before = fold_group(group_sized(1))

    meta = fold_group(unknown(GROUP), meta=before)

    assert meta == before.evolve(last_offset=1, facts=2, log_time=LOG_EPOCH + 1, seen=meta.seen)


def test_a_repeated_event_id_of_a_group_folds_once():
    part = group_part("a")

    assert dropped(part, fold_group(part, group_saved())) == "duplicate"


def test_an_offset_of_a_group_folds_once():
    assert dropped(group_saved(), fold_group(group_saved(), group_saved()), offset=1) == "refolded"


# Lives


def test_forgetting_the_saved_results_leaves_the_body_that_waits_for_its_parts():
    # given
    before = fold_group(group_saved(results=["r"]), group_sized(2, body="b"), group_part())

    # when
    meta = fold_group(group_forgotten(), meta=before)

    # then
    assert (meta.exists, meta.results, meta.body, meta.size, meta.parts) == (True, None, "b", 2, before.parts)
    assert not fold_group(group_dispatched(), group_forgotten(), meta=meta).exists


def test_a_forgotten_group_leaves_a_tombstone():
    before = fold_group(group_saved(result_expires=60), group_sized(1, body="secret"), group_dispatched())

    stone = fold_group(group_forgotten(), meta=before)

    assert (stone.exists, stone.results, stone.body, stone.size, stone.expires_at) == (False, None, None, None, before.expires_at)
    assert (stone.group_id, stone.facts, stone.last_offset) == (GROUP, 4, 3)


@pytest.mark.parametrize("kind", DECIDING, **NAMED)
def test_a_new_fact_after_a_group_was_forgotten_starts_a_new_life(kind):
    first = group_saved()
    stone = fold_group(first, group_sized(1), group_dispatched(), group_forgotten())
    event = kind()

    meta = fold_group(event, meta=stone)

    assert meta == fold_group(event, offset=4).evolve(seen=meta.seen)
    assert dropped(first, meta) == "duplicate"


@pytest.mark.parametrize("event", [group_forgotten(), unknown(GROUP), group_saved(observed=True)], ids=lambda event: event.kind)
def test_what_cannot_begin_a_group_is_dropped_after_forgetting(event):
    assert dropped(event, fold_group(group_saved(), group_forgotten())) == "after-forgotten"


def test_a_group_expires_by_the_last_lifetime_that_a_fact_carried():
    assert fold_group(group_saved()).expires_at is None
    meta = fold_group(group_saved(result_expires=60), group_sized(1))
    assert meta.expires_at == LOG_EPOCH + 60_000
    meta = fold_group(group_part(result_expires=60), meta=meta)
    assert meta.expires_at == LOG_EPOCH + 60_002
    assert fold_group(group_part(result_expires=0), meta=meta).expires_at is None


@pytest.mark.parametrize("kind", DECIDING, **NAMED)
def test_a_fact_at_the_expiry_of_a_group_opens_a_new_life(kind):
    first = group_saved(result_expires=1)
    before = fold_group(first)
    event = kind()

    meta = fold_group(event, meta=before, after=999)

    assert meta == fold_group(event, offset=1, after=999).evolve(seen=meta.seen)
    assert dropped(group_forgotten(), before, log_time=before.expires_at) == "nothing-there"
    assert dropped(first, before, log_time=before.expires_at) == "duplicate"
