"""What is on its way is bounded, and ends."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from eventresults.domain.position import Position
from eventresults.errors import AppendTimeout, Closed
from eventresults.log.bounds import InFlight


def in_flight(*, records: int = 2, size: int = 1_000_000, timeout: float = 0.05) -> InFlight:
    return InFlight(max_records=records, max_bytes=size, timeout=timeout, what="the log")


def test_a_full_buffer_raises_append_timeout_and_takes_nothing() -> None:
    buffer = in_flight(records=2)
    for _ in range(2):
        buffer.enter(b"key", b"value")
    began = time.monotonic()
    with pytest.raises(AppendTimeout, match="not handed over") as timeout:
        buffer.enter(b"key", b"value")
    assert time.monotonic() - began >= 0.05
    assert timeout.value.facts == {"key": "key", "timeout": 0.05}
    assert len(buffer) == 2


def test_bytes_are_bounded_too_but_one_record_is_always_let_in() -> None:
    buffer = in_flight(records=100, size=10_000)
    future = buffer.enter(b"key", b"x" * 50_000)
    with pytest.raises(AppendTimeout):
        buffer.enter(b"key", b"")
    buffer.leave([future])
    buffer.enter(b"key", b"")


@pytest.mark.parametrize("records", [1, 2, 100])
def test_room_lets_the_next_one_in(records: int) -> None:
    buffer = in_flight(records=records, timeout=10)
    futures = [buffer.enter(b"key", b"value") for _ in range(records)]
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(buffer.enter, b"key", b"value")
        buffer.leave(futures[:1])
        assert blocked.result(5).number == records + 1


def test_wait_is_for_what_is_on_its_way_now() -> None:
    buffer = in_flight(records=10)
    first = buffer.enter(b"key", b"value")
    assert not buffer.wait(0.01)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(buffer.wait, 10)
        while not buffer._flushing:
            time.sleep(0.001)
        buffer.enter(b"key", b"later")
        buffer.leave([first])
        assert waiting.result(5) is True
    assert not buffer.wait(0)


def test_shutting_lets_nothing_in_and_frees_who_waits() -> None:
    buffer = in_flight(records=1, timeout=10)
    buffer.enter(b"key", b"value")
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(buffer.enter, b"key", b"value")
        while not buffer._blocked:
            time.sleep(0.001)
        buffer.shut()
        with pytest.raises(Closed):
            blocked.result(5)
    with pytest.raises(Closed):
        buffer.enter(b"key", b"value")


def test_what_is_abandoned_raises_closed_and_a_late_answer_changes_nothing() -> None:
    buffer = in_flight()
    future = buffer.enter(b"key", b"value")
    buffer.abandon()
    with pytest.raises(Closed):
        future.result(0)
    future.settle(Position(0, 0))
    buffer.leave([future])
    assert isinstance(future.exception(0), Closed)
    assert len(buffer) == 0


def test_what_is_given_up_fails_at_once_and_takes_room_until_it_leaves() -> None:
    buffer = in_flight(records=1)
    future = buffer.enter(b"key", b"value")
    buffer.give_up(10)
    assert not future.done()
    buffer.give_up(0)
    assert isinstance(future.exception(0), AppendTimeout)
    assert buffer.wait(0)
    with pytest.raises(AppendTimeout):
        buffer.enter(b"key", b"value")
    buffer.leave([future])
    buffer.enter(b"key", b"value")


def test_many_threads_stay_within_the_bound() -> None:
    buffer = in_flight(records=5, timeout=30)
    most = 0
    counting = threading.Lock()

    def pass_through(_: int) -> None:
        nonlocal most
        future = buffer.enter(b"key", b"value")
        with counting:
            most = max(most, len(buffer))
        buffer.leave([future])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(pass_through, range(2_000)))
    assert most <= 5
    assert len(buffer) == 0
