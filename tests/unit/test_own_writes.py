"""What a process remembers of its own writes."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

from eventresults.domain.position import Position
from eventresults.errors import LogUnavailable
from eventresults.log import own as module
from eventresults.log.appends import Append
from eventresults.log.own import OwnWrites


@pytest.fixture
def own():
    return OwnWrites()


def add(own: OwnWrites, subject: str) -> Append:
    future = Append()
    assert own.enter(subject, future, most=32, timeout=5)
    return future


def test_a_read_concerns_own_writes_from_the_append_until_the_view_has_folded_them(own: OwnWrites):
    # given
    assert not own.concerns("t1")

    # when: handed over
    future = add(own, "t1")

    # then
    assert own.concerns("t1")
    assert not own.concerns("t2")
    assert own.pending("t1") == own.all_pending() == [future]

    # when: acknowledged
    future.set_result(Position(0, 41))

    # then: its position is needed
    assert own.pending("t1") == own.all_pending() == []
    assert own.concerns("t1")
    assert own.needed("t1", 0) == 42
    assert own.all_needed() == {0: 42}

    # when: folded
    own.folded("t1", {0: 42})

    # then
    assert not own.concerns("t1")
    assert own.all_needed() == {}


def test_a_fact_that_failed_is_not_waited_for(own: OwnWrites):
    add(own, "t1").set_exception(LogUnavailable("gone"))
    assert not own.concerns("t1")
    assert own.needed("t1", 0) == 0


def test_a_fact_that_was_not_handed_over_is_not_waited_for(own: OwnWrites):
    # given
    future = Append()
    assert own.enter("t1", future, most=1, timeout=0)

    # when
    future.set_exception(LogUnavailable("away"))
    own.give_up("t1")

    # then
    assert own._facts == {}
    assert not own.concerns("t1")
    assert own.enter("t1", Append(), most=1, timeout=0)


def test_the_latest_of_several_positions_is_needed_in_whatever_order_they_are_acknowledged(own: OwnWrites):
    # given
    first, second = add(own, "t1"), add(own, "t1")

    # when
    second.set_result(Position(0, 8))
    first.set_result(Position(0, 7))

    # then
    assert own.needed("t1", 0) == 9


def test_folding_up_to_an_earlier_position_or_in_another_partition_forgets_nothing(own: OwnWrites):
    add(own, "t1").set_result(Position(0, 8))
    own.folded("t1", {0: 8, 1: 100})
    own.folded("t1", {1: 100})
    assert own.needed("t1", 0) == 9
    assert own.all_needed() == {0: 9}


def test_beginning_waits_until_an_unacknowledged_fact_of_the_same_id_is_done(own: OwnWrites):
    # given
    future = add(own, "t1")

    # when / then
    assert not own.enter("t1", Append(), most=1, timeout=0.01)
    assert own.enter("t2", Append(), most=1, timeout=0)

    # when: it is done while another thread waits
    began = []
    thread = threading.Thread(target=lambda: began.append(own.enter("t1", Append(), most=1, timeout=5)))
    thread.start()
    future.set_result(Position(0, 0))

    # then
    thread.join(5)
    assert began == [True]


def test_who_waits_for_a_place_gets_that_of_a_fact_that_was_not_handed_over(own: OwnWrites):
    # given
    refused = Append()
    assert own.enter("t1", refused, most=1, timeout=0)
    entered = []
    thread = threading.Thread(target=lambda: entered.append(own.enter("t1", Append(), most=1, timeout=5)))
    thread.start()

    # when
    refused.set_exception(LogUnavailable("away"))
    own.give_up("t1")

    # then
    thread.join(5)
    assert entered == [True]


def test_never_more_facts_of_an_id_are_on_their_way_than_there_are_places(own: OwnWrites):
    # given: many threads, and acknowledgements that come late
    most, seen = 4, []
    futures: list[Append] = []

    def append():
        for _ in range(50):
            future = Append()
            assert own.enter("t1", future, most=most, timeout=10)
            seen.append(len(own._facts["t1"]))
            futures.append(future)

    threads = [threading.Thread(target=append) for _ in range(8)]
    for thread in threads:
        thread.start()

    # when
    for offset in range(400):
        deadline = monotonic() + 10
        while len(futures) <= offset:
            assert monotonic() < deadline
        futures[offset].set_result(Position(0, offset))
    for thread in threads:
        thread.join(10)

    # then
    assert max(seen) == most
    assert own.all_pending() == []


def test_remembering_many_ids_is_bounded_and_then_errs_on_the_side_of_waiting(monkeypatch):
    # given
    monkeypatch.setattr(module, "REMEMBERED", 10)
    monkeypatch.setattr(module, "LOOKED_THROUGH", 3)
    own = OwnWrites()

    # when
    for number in range(25):
        add(own, f"t{number}").set_result(Position(number % 2, number))

    # then: every one of them is still waited for
    assert len(own._acknowledged) <= 10 + 3
    assert len(own._facts) <= 10
    for number in range(25):
        assert own.concerns(f"t{number}")
        assert own.needed(f"t{number}", number % 2) > number

    # when: all is folded
    own.folded("t0", {0: 100, 1: 100})

    # then
    assert not own.concerns("t0")


def test_another_log_makes_acknowledged_positions_meaningless(own: OwnWrites):
    # given
    add(own, "t1").set_result(Position(0, 41))
    pending = add(own, "t1")

    # when
    own.forget_acknowledged()

    # then
    assert own.needed("t1", 0) == 0
    assert own.pending("t1") == [pending]


def test_starting_again_forgets_everything(own: OwnWrites):
    add(own, "t1")
    add(own, "t2").set_result(Position(0, 41))
    own.restart()
    assert not own.concerns("t1")
    assert not own.concerns("t2")


def test_what_the_view_that_is_read_here_has_folded_is_not_remembered(monkeypatch):
    # given
    monkeypatch.setattr(module, "LOOKED_THROUGH", 10)
    own = OwnWrites()
    own.follow(lambda: {0: 100})

    # when
    for number in range(200):
        add(own, f"t{number}").set_result(Position(0, number))

    # then
    assert own.needed("t150", 0) == 151
    assert len(own._acknowledged) + len(own._facts) <= 100 + 10
    assert own.all_needed() == {0: 200}
