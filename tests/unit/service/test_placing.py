"""What is watched in a group stays watched, whenever the member that has it is lost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import pytest

from eventresults.log.memory import MemoryLog
from eventresults.log.own import OwnWrites
from eventresults.service.placing import Placing
from eventresults.view.listeners import Listeners
from tests.support.views import until


class Member:
    """The connection to one: what was asked of it."""

    def __init__(self, address: str, log_id: str):
        self.address, self.log_id = address, log_id
        self.watched: list[tuple[list[str], dict[int, int]]] = []

    def told(self, partition: int) -> int:
        return 1_000 + partition  # it is far on

    def watch(self, ids: Collection[str], after: Mapping[int, int] | None) -> None:
        self.watched.append((list(ids), dict(after or {})))


class Members:
    """Those that are found, one after another; `on_found` is called with each, before whoever asked gets it."""

    def __init__(self, *members: Member):
        self.links = list(members)
        self.found: list[Member] = []
        self.on_found: Callable[[Member], None] = lambda _: None

    def link(self, _partition: int, _deadline: float) -> Member:
        found = self.links[0]
        self.found.append(found)
        self.on_found(found)
        return found

    def drop(self, link: Member) -> None:
        self.links = [one for one in self.links if one is not link]

    def forget(self, *_: object) -> None:
        pass


@pytest.fixture
def scene():
    log = MemoryLog(partitions=1)
    log_id = log.info(1).log_id
    first, second = Member("first", log_id), Member("second", log_id)
    members, listeners = Members(first, second), Listeners()
    placing = Placing(members, log, OwnWrites(), listeners)
    listeners.add(["t1"], lambda _: None)
    yield placing, members, first, second
    placing.close()
    log.close()


def test_what_is_placed_with_a_member_that_was_just_lost_is_placed_with_the_next(scene):
    # given
    placing, members, first, second = scene
    members.on_found = lambda found: found is first and placing.lost(first)

    # when
    placing.watch(0, ["t1"])

    # then: from where it was, for the first one had told nothing
    until(lambda: second.watched == [(["t1"], {0: 0})])
    assert first.watched == []


def test_what_a_lost_member_told_is_not_asked_of_the_next(scene):
    # given
    placing, _, first, second = scene
    placing.watch(0, ["t1"])
    until(lambda: first.watched == [(["t1"], {0: 0})])

    # when
    placing.lost(first)

    # then
    until(lambda: second.watched == [(["t1"], {0: 1_000})])


def test_a_member_that_still_tells_of_a_deleted_log_is_waited_for(scene):
    # given: the first has noticed that the log was created again, and told of it
    placing, members, first, second = scene
    placing.watch(0, ["t1"])
    until(lambda: first.watched == [(["t1"], {0: 0})])
    members.links = [Member("first", "created again"), second]
    placing.lost(first)
    until(lambda: members.links[0].watched == [(["t1"], {0: 0})])

    # when: its place goes to one that has not
    members.links = [members.links[0], second]
    placing.lost(members.links[0])
    until(lambda: members.found.count(second) > 1)  # it was asked for again, so it was found before and not taken
    assert second.watched == []
    second.log_id = "created again"

    # then: told on from where the first one was
    until(lambda: second.watched == [(["t1"], {0: 1_000})])
