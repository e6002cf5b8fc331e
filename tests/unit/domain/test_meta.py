"""What a row answers of itself."""

from __future__ import annotations

import pickle

import pytest

from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position
from tests.support.events import moment


@pytest.mark.parametrize("meta", [TaskMeta(task_id="t", state="STARTED"), GroupMeta(group_id="g", size=3)])
def test_a_draft_is_a_copy_that_may_be_changed_until_it_is_frozen(meta):
    draft = meta.draft()
    draft.facts = 7
    frozen = draft.freeze()

    assert frozen is draft
    assert frozen == meta.evolve(facts=7)
    assert meta.facts == 0
    with pytest.raises(AttributeError):
        draft.facts = 8


def test_evolve_makes_a_copy_and_leaves_the_original():
    original = TaskMeta(task_id="t")

    assert original.evolve(state="RETRY") == TaskMeta(task_id="t", state="RETRY")
    assert original == TaskMeta(task_id="t")


def test_a_meta_is_frozen_and_pickles():
    meta = TaskMeta(task_id="t", state="RETRY")

    with pytest.raises(AttributeError):
        meta.state = "SUCCESS"
    assert pickle.loads(pickle.dumps(meta)) == meta


@pytest.mark.parametrize(("phase", "exists"), [("alive", True), ("requested", False), ("forgotten", False)])
def test_only_what_is_alive_exists(phase, exists):
    assert TaskMeta(task_id="t", phase=phase).exists is exists
    assert GroupMeta(group_id="g", phase=phase).exists is exists


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REVOKED"])
def test_success_failure_and_revoked_are_ready(state):
    assert TaskMeta(task_id="t", state=state).ready


@pytest.mark.parametrize("state", ["PENDING", "RECEIVED", "STARTED", "RETRY", "REJECTED", "PROGRESS"])
def test_every_other_state_is_not_ready(state):
    assert not TaskMeta(task_id="t", state=state).ready


def test_a_meta_expires_at_its_time_and_not_before():
    for meta in (TaskMeta(task_id="t", expires_at=10), GroupMeta(group_id="g", expires_at=10)):
        assert [meta.expired(now) for now in (9, 10, 11)] == [False, True, True]
        assert not meta.evolve(expires_at=None).expired(11)


def test_queue_time_is_from_sent_to_the_first_start():
    meta = TaskMeta(task_id="t", sent_at=moment(1), first_started_at=moment(3.5), started_at=moment(9))

    assert meta.queue_time == 2.5
    assert meta.evolve(sent_at=None).queue_time is None
    assert meta.evolve(first_started_at=None).queue_time is None


def test_the_position_is_that_of_the_last_fact():
    assert TaskMeta(task_id="t", partition=3, last_offset=7).position == Position(3, 7)
    assert GroupMeta(group_id="g", partition=3, last_offset=7).position == Position(3, 7)


def test_a_position_reads_as_it_is_written():
    assert Position.parse(str(Position(3, 42))) == Position(3, 42)


@pytest.mark.parametrize("text", ["", "3", "3:", ":42", "-1:2", "a:b", "1:2:3"])
def test_what_is_no_position_is_refused(text):
    with pytest.raises(ValueError, match="no position"):
        Position.parse(text)


@pytest.mark.parametrize(
    ("size", "parts", "complete"), [(None, {"a/": []}, False), (2, {"a/": []}, False), (1, {"a/": []}, True), (0, None, True)]
)
def test_a_group_is_complete_once_every_part_ended(size, parts, complete):
    assert GroupMeta(group_id="g", size=size, parts=parts).complete is complete
