"""What holds of the fold of a group for any facts in any order."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from eventresults.domain.fold import reason_dropped
from eventresults.domain.groups import apply_group
from eventresults.domain.meta import GroupMeta
from eventresults.domain.position import Position
from tests.support.events import (
    GROUP,
    LOG_EPOCH,
    group_dispatched,
    group_dispatching,
    group_forgotten,
    group_part,
    group_saved,
    group_sized,
    unknown,
)

common = {
    "second": st.integers(0, 60),
    "observed": st.sampled_from([False, False, False, True]),
    "event_id": st.uuids().map(lambda uuid: uuid.hex),
}
deciding = {**common, "result_expires": st.none() | st.sampled_from([0, 0.003, 0.02]) | st.floats(0, allow_nan=False, allow_infinity=False)}
body_ids = st.none() | st.sampled_from(["a", "b"])
part = st.builds(group_part, st.sampled_from("abc"), group_index=st.none() | st.integers(0, 1), result=st.integers(), **deciding)
sized = st.builds(group_sized, st.none() | st.integers(0, 3), body=body_ids, structure=body_ids, **deciding)
joined = st.builds(group_sized, st.none(), added=st.sampled_from("yz"), **deciding)
claim = st.builds(group_dispatching, st.sampled_from("ab"), until=st.integers(0, 60), body_id=body_ids, **deciding)
sending = st.builds(group_dispatched, body_id=body_ids, **deciding)
saved = st.builds(group_saved, results=st.none() | st.lists(st.integers(), max_size=2), **deciding)
events = st.one_of(
    part, part, sized, joined, claim, sending, saved, st.builds(group_forgotten, **common), st.builds(unknown, st.just(GROUP), **common)
)
logs = st.lists(st.tuples(st.sampled_from([0, 0, 1, 30]), events), max_size=25)


def told(log):
    log_time = LOG_EPOCH
    for number, (passed, event) in enumerate(log):
        log_time += passed
        yield event, Position(0, 2 * number), log_time


def walk(log):
    """Each record, with what is known before and after it."""
    meta = None
    steps = []
    for record in told(log):
        before, meta = meta, apply_group(meta, *record)
        steps.append((record, before, meta))
    return steps


@given(logs)
def test_any_facts_fold_to_a_group_or_nothing_and_keep_the_books(log):
    for (event, at, log_time), before, after in walk(log):
        if after is before:
            assert reason_dropped(before, event, at) in {"after-forgotten", "nothing-there"}
            continue
        assert type(after) is GroupMeta
        assert (after.group_id, after.partition, after.last_offset, after.log_time) == (GROUP, 0, at.offset, log_time)
        assert after.facts == 1 or after.facts == before.facts + 1
        assert (after.facts == 1) == (after.first_offset == at.offset)


@given(logs)
def test_the_fold_of_a_group_is_pure(log):
    steps = walk(log)
    kept = deepcopy(steps)

    assert [apply_group(before, *record) for record, before, _ in steps] == [after for _, _, after in steps]
    assert steps == kept


@given(logs, st.data())
def test_facts_of_a_group_that_come_again_change_nothing(log, data):
    steps = walk(log)
    end = data.draw(st.integers(0, len(steps)))
    meta = steps[end - 1][2] if end else None
    for (event, at, log_time), before, after in steps[:end]:
        assert apply_group(meta, event, at, log_time) is meta
        if after is not before:
            assert apply_group(meta, event, Position(0, meta.last_offset + 1), log_time) is meta


@given(logs)
def test_a_group_is_complete_exactly_when_something_completed_it(log):
    for _, _, meta in walk(log):
        if meta is not None:
            assert meta.complete == (meta.completed_by is not None)


@given(logs)
def test_within_a_run_a_part_is_never_taken_back_and_a_completion_stays_while_the_size_does(log):
    for (_, _, log_time), before, after in walk(log):
        if before is None or before.expired(log_time) or after.phase == "forgotten" or before.phase == "forgotten":
            continue
        if after.run == before.run:
            assert (before.parts or {}).items() <= (after.parts or {}).items()
            if before.completed_by is not None and after.wanted == before.wanted:
                assert after.completed_by == before.completed_by
        else:
            assert (after.run, after.parts, after.claim, after.dispatched) == (before.run + 1, None, None, None)


@given(st.permutations([*(("part", name) for name in "abc"), ("size", 2), ("joins", "c"), ("part", "a"), ("joins", "c"), ("size", 2)]))
def test_a_count_is_completed_by_the_fact_after_which_all_are_there_whatever_came_first(order):
    make = {"part": group_part, "size": group_sized, "joins": lambda task_id: group_sized(None, added=task_id)}
    complete = False
    for (_, at, _), _, meta in walk([(0, make[kind](what)) for kind, what in order]):
        seen = order[: at.offset // 2 + 1]
        ended, wanted = {what for kind, what in seen if kind == "part"}, 2 + (("joins", "c") in seen)
        before, complete = complete, ("size", 2) in seen and len(ended) >= wanted
        assert (meta.completed_by is not None) == complete
        if complete and not before:
            assert meta.completed_by == at.offset
    assert complete


@given(logs)
def test_a_claim_and_a_sent_body_exclude_each_other(log):
    for _, _, meta in walk(log):
        assert meta is None or meta.claim is None or meta.dispatched is None


@given(logs)
def test_a_group_that_expired_folds_as_if_the_sweep_had_taken_it(log):
    for record, before, after in walk(log):
        if before is not None and before.expired(record[2]):
            fresh = apply_group(None, *record)
            assert after is before if fresh is None else after == fresh.evolve(seen=after.seen)
