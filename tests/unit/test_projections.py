"""Projections beside the tasks' fold: what they are told, what their rows are, and what becomes of one that fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventresults.codec import plain
from eventresults.domain.projection import checked
from eventresults.errors import ConfigError, ProjectionFailed, ProjectionUnknown
from eventresults.log.base import Poll
from eventresults.projector import fold_poll
from eventresults.view import keys, projected
from eventresults.view.base import ProjectedPage, Wanted
from eventresults.view.memory import MemoryStore
from tests.support.events import failed, forgotten, sent, started, succeeded
from tests.support.projections import ByState, Spend
from tests.support.views import Folding, record, rows


def bought(task_id, customer, cents):
    return [sent(task_id=task_id, kwargs={"customer": customer}), succeeded(task_id=task_id, result=cents)]


def state(folding, projection, key):
    page = projected.look(Wanted(projection.name, keys=[key]), folding.projections, {0: folding.shard})
    return page and dict(page.items).get(key)


class Told(Spend):
    """Keeps what it was told, and fails when it is to."""

    name = "told"

    def __init__(self, fails=None):
        super().__init__()
        self.told = []
        self.fails = fails

    def key(self, transition):
        self.told.append(transition)
        if self.fails == (transition.event.subject, transition.event.kind):
            raise RuntimeError("no")
        return transition.event.subject

    def apply(self, state, transition):
        return (state or 0) + 1


# What is told


def test_each_fact_that_counts_is_told_once_with_what_a_read_would_have_said_before_and_after():
    # given
    told = Told()
    folding = Folding(projections=[told])
    first, last = sent(task_id="t"), forgotten(task_id="t")

    # when
    folding.tell(first, started(task_id="t"), first, last, last)

    # then
    assert [(one.event.kind, one.before and one.before.state, one.after and one.after.state) for one in told.told] == [
        ("task-sent", None, "PENDING"),
        ("task-started", "PENDING", "STARTED"),
        ("task-forgotten", "STARTED", None),
    ]
    assert told.told[1].position == (0, 1)
    assert told.told[1].log_time == folding.log_time - 4


def test_what_had_expired_was_not_there_before():
    told = Told()
    folding = Folding(projections=[told])

    folding.tell(sent(task_id="t"), succeeded(task_id="t", result_expires=1.0))
    folding.tell(sent(task_id="t"), after=5_000)

    assert told.told[-1].before is None


# Rows


def test_states_go_on_from_poll_to_poll_and_come_with_the_tasks_rows_in_one_commit():
    folding = Folding(projections=[Spend()])

    folding.tell(*bought("a", "ada", 5), *bought("b", "bob", 7))
    folding.tell(*bought("c", "ada", 1))

    assert {key: plain.unpack(raw) for key, raw in rows(folding.store, keys.PROJECTED).items()} == {
        b"pspend-by-customer\x00ada": 6,
        b"pspend-by-customer\x00bob": 7,
    }
    assert folding.shard.head().projections == {"spend-by-customer": {"version": 1}}


def test_a_state_of_none_is_no_row():
    folding = Folding(projections=[ByState()])
    folding.tell(sent(task_id="a"))
    assert state(folding, ByState(), "all") == {"PENDING": 1}

    folding.tell(forgotten(task_id="a"))

    assert rows(folding.store, keys.PROJECTED) == {}


def test_a_view_without_projections_has_nothing_of_them():
    folding = Folding()
    folding.tell(*bought("a", "ada", 5))
    assert rows(folding.store, keys.PROJECTED) == {}
    assert folding.shard.head().projections == {}


@given(st.lists(st.tuples(st.integers(1, 8), st.booleans()), max_size=12))
def test_however_the_log_is_cut_into_polls_and_whatever_a_crash_lost_each_fact_is_folded_once(polls):
    # given
    events = [event for number in range(10) for event in bought(f"t{number}", "ada" if number % 3 else "bob", number)]
    records = [record(event, offset) for offset, event in enumerate(events)]
    whole = Folding(projections=[Spend(), ByState()])
    whole.poll(records)
    folding = Folding(projections=[Spend(), ByState()])

    # when
    for size, dies in [*polls, (len(records), False)]:
        start = folding.head.next_offset
        poll = Poll(records[start : start + size], min(start + size, len(records)))
        folded = fold_poll(folding.shard, folding.head, poll, folding.lifetimes, projections=folding.projections)
        if not dies:  # before the commit
            folding.shard.commit(folded.batch)
        folding = Folding(folding.store, projections=[Spend(), ByState()])

    # then
    assert rows(folding.store, keys.PROJECTED) == rows(whole.store, keys.PROJECTED)


# Falling behind


def test_one_that_is_new_to_a_shard_with_facts_waits_to_be_built_anew():
    # given
    folding = Folding()
    folding.tell(*bought("a", "ada", 5))

    # when
    folding.projections = [Spend()]
    folding.tell(*bought("b", "ada", 5))

    # then
    assert projected.behind(folding.shard.head(), [Spend()]) == ["spend-by-customer"]
    assert projected.look(Wanted("spend-by-customer", keys=["ada"]), [Spend()], {0: folding.shard}) is None
    assert rows(folding.store, keys.PROJECTED) == {}


@pytest.mark.parametrize("meanwhile", [[], [Spend(version=2)], [ByState()]])
def test_one_that_was_not_run_for_a_while_waits_to_be_built_anew(meanwhile):
    folding = Folding(projections=[Spend()])
    folding.tell(*bought("a", "ada", 5))
    folding.projections = meanwhile
    folding.tell(*bought("b", "ada", 5))

    folding.projections = [Spend()]
    folding.tell(*bought("c", "ada", 5))

    assert projected.behind(folding.shard.head(), [Spend()]) == ["spend-by-customer"]


# Failing


@pytest.mark.parametrize("kind", ["task-sent", "task-started"])
def test_one_that_fails_is_marked_at_the_position_and_the_rest_goes_on(kind, caplog):
    # given
    folding = Folding(projections=[told := Told(fails=("b", kind)), Spend()])
    folding.tell(*bought("a", "ada", 5))

    # when
    folding.tell(sent(task_id="b", kwargs={"customer": "ada"}), started(task_id="b"), succeeded(task_id="b", result=2))
    folding.tell(*bought("c", "ada", 1))

    # then
    at = 2 if kind == "task-sent" else 3
    assert folding.shard.head().projections["told"] == {"version": 1, "failed": {"offset": at, "reason": "RuntimeError: no"}}
    assert folding.shard.task("b").state == "SUCCESS"
    assert state(folding, Spend(), "ada") == 8
    assert [one.event.subject for one in told.told if one.event.subject == "c"] == []
    assert f"told failed at 0:{at}" in caplog.text
    with pytest.raises(ProjectionFailed, match=rf"failed at 0:{at}: RuntimeError: no\. Mend it and raise its version") as caught:
        state(folding, told, "a")
    assert (caught.value.name, caught.value.position) == ("told", f"0:{at}")


def test_nothing_of_the_poll_in_which_it_failed_is_kept(caplog):
    folding = Folding(projections=[Told(fails=("b", "task-started"))])
    folding.tell(sent(task_id="a"))
    folding.tell(started(task_id="a"), sent(task_id="b"), started(task_id="b"))
    assert {key: plain.unpack(raw) for key, raw in rows(folding.store, keys.PROJECTED).items()} == {b"ptold\x00a": 1}
    assert "told failed" in caplog.text


@pytest.mark.parametrize("bad", [{1, 2}, (1, 2), float("nan"), {1: 2}, 2**70, object(), "\ud800"])
def test_a_state_that_json_does_not_hold_is_a_failure(bad, caplog):
    class Bad(Told):
        def apply(self, state, transition):
            return bad

    folding = Folding(projections=[Bad()])
    folding.tell(sent(task_id="a"), sent(task_id="b"))

    assert folding.shard.head().projections["told"]["failed"]["offset"] == 0
    assert folding.shard.task("b") is not None
    assert "told failed" in caplog.text


@pytest.mark.parametrize("key", ["", "x" * 1025, 7, b"x", "\ud800"])
def test_a_key_that_is_none_is_a_failure(key, caplog):
    class Bad(Told):
        def key(self, transition):
            return key

    folding = Folding(projections=[Bad()])
    folding.tell(sent(task_id="a"))

    assert "failed" in folding.shard.head().projections["told"]
    assert "told failed" in caplog.text


# Reading


def partials(*purchases):
    """A shard for each of these lists of purchases."""
    shards = {}
    for partition, each in enumerate(purchases):
        folding = Folding(MemoryStore(), partition=partition, projections=[Spend()])
        folding.tell(
            *[event for number, (customer, cents) in enumerate(each) for event in bought(f"{partition}-{number}", customer, cents)]
        )
        shards[partition] = folding.shard
    return shards


def test_a_key_of_several_partitions_is_merged():
    shards = partials([("ada", 1), ("bob", 2)], [("ada", 4)], [])
    assert projected.look(Wanted("spend-by-customer", keys=["ada", "bob", "eve"]), [Spend()], shards).items == [("ada", 5), ("bob", 2)]


def test_pages_are_in_the_order_of_keys_and_go_on_after_the_last():
    shards = partials([("ada", 1), ("bob", 2), ("dan", 3)], [("ada", 4), ("cy", 5)])

    first = projected.look(Wanted("spend-by-customer", limit=2), [Spend()], shards)
    second = projected.look(Wanted("spend-by-customer", limit=2, after=first.after), [Spend()], shards)

    assert first == ProjectedPage([("ada", 5), ("bob", 2)], "bob")
    assert second == ProjectedPage([("cy", 5), ("dan", 3)], None)
    assert projected.look(Wanted("spend-by-customer", prefix="b"), [Spend()], shards).items == [("bob", 2)]


def test_pages_of_several_processes_are_one():
    here, there = partials([("ada", 1), ("cy", 2)]), partials([("ada", 4), ("bob", 8), ("dan", 1)])
    wanted = Wanted("spend-by-customer", limit=2)
    pages = [projected.look(wanted, [Spend()], shards) for shards in (here, there)]

    assert projected.merged(Spend(), wanted, pages) == ProjectedPage([("ada", 5), ("bob", 8)], "bob")


def test_parts_that_nobody_here_can_merge_say_what_to_do():
    pages = [ProjectedPage([("ada", 1)], None), ProjectedPage([("ada", 2), ("bob", 3)], None)]
    with pytest.raises(ProjectionUnknown, match="register it here, too"):
        projected.merged(None, Wanted("spend", keys=["ada"]), pages)
    assert projected.merged(None, Wanted("spend", keys=["bob"]), [pages[0]._replace(items=[]), pages[1]]).items[-1] == ("bob", 3)


def test_one_that_is_not_run_or_in_another_version_is_unknown():
    shards = partials([("ada", 1)])
    with pytest.raises(ProjectionUnknown, match=r"runs no projection 'other' \(it runs: spend-by-customer\)"):
        projected.look(Wanted("other", keys=[]), [Spend()], shards)
    with pytest.raises(ProjectionUnknown, match="runs version 1 of the projection .* has version 2"):
        projected.look(Wanted("spend-by-customer", version=2, keys=[]), [Spend()], shards)


def test_a_merge_that_fails_says_so():
    class Bad(Spend):
        def merge(self, one, other):
            raise TypeError("apples and pears")

    with pytest.raises(ProjectionFailed, match="cannot merge two states: TypeError: apples and pears"):
        projected.look(Wanted("spend-by-customer", keys=["ada"]), [Bad()], partials([("ada", 1)], [("ada", 2)]))


def test_a_page_has_at_least_one_key():
    with pytest.raises(ValueError, match="limit=0"):
        projected.look(Wanted("spend-by-customer", limit=0), [Spend()], partials([]))


# What can be run


class Nameless(Spend):
    name = "With Spaces"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([Spend], "pass an instance"),
        ([object()], "it has no key, apply, merge"),
        ([Nameless()], "lower-case"),
        ([Spend(version="1")], "whole number"),
        ([Spend(), Spend()], "Two projections are named 'spend-by-customer'"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(given, says):
    with pytest.raises(ConfigError, match=says):
        checked(given)


def test_a_failed_task_is_no_purchase():
    folding = Folding(projections=[Spend()])
    folding.tell(sent(task_id="a", kwargs={"customer": "ada"}), failed(task_id="a"))
    assert state(folding, Spend(), "ada") is None
