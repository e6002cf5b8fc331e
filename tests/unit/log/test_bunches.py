"""A lone record goes at once; while records are on their way, others wait for company."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError

from eventresults.log.appends import Append
from eventresults.log.confluent import bunches as module
from eventresults.log.confluent.bunches import Bunches


class Producer:
    """Takes what it is given, but for what is in `refused`; the test acknowledges."""

    def __init__(self):
        self.taken: list[bytes] = []
        self.callbacks: deque[Callable[..., None]] = deque()
        self.refused: dict[bytes, KafkaError] = {}
        self.interrupted = False

    def produce_batch(self, _topic: str, messages: list[dict[str, Any]]) -> int:
        if self.interrupted:
            raise KeyboardInterrupt
        taken = 0
        for message in messages:
            error = self.refused.get(message["value"])
            if error is None:
                self.taken.append(message["value"])
                self.callbacks.append(message["callback"])
                taken += 1
            else:
                message["_error"] = error
        return taken

    def acknowledge(self):
        while self.callbacks:
            self.callbacks.popleft()(None, "message")


class Line(Bunches):
    def __init__(self, producer: Producer):
        super().__init__(producer, "topic", delivered=self.deliver)
        self.futures: list[Append] = []
        self.refusals: list[tuple[Append, KafkaError]] = []

    def deliver(self, bunches, future, error, message):
        assert bunches is self
        if message is None:
            self.refusals.append((future, error))
            return
        assert (error, message) == (None, "message")
        self.futures.append(future)
        self.acknowledged += 1

    def put(self, value: bytes) -> Append:
        future = Append()
        self.add(future, value)
        return future


@pytest.fixture
def producer():
    return Producer()


@pytest.fixture
def line(producer: Producer):
    return Line(producer)


def test_a_record_goes_at_once_when_nothing_is_on_its_way(line: Line, producer: Producer):
    # when
    line.put(b"1")
    producer.acknowledge()
    line.put(b"2")

    # then
    assert producer.taken == [b"1", b"2"]


def test_while_one_is_on_its_way_others_wait_and_go_together_in_their_order(line: Line, producer: Producer):
    # given
    futures = [line.put(value) for value in (b"1", b"2", b"3")]
    assert producer.taken == [b"1"]

    # when: acknowledged, as the polling thread does it
    producer.acknowledge()
    line.hand_over()

    # then
    assert producer.taken == [b"1", b"2", b"3"]
    producer.acknowledge()
    assert line.futures == futures


def test_when_they_are_enough_they_go_without_an_acknowledgement(line: Line, producer: Producer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "BUNCH", 3)
    for number in range(7):
        line.put(b"%d" % number)
    assert producer.taken == [b"%d" % number for number in range(7)]
    line.put(b"7")
    assert len(producer.taken) == 7


@pytest.mark.parametrize("code", [KafkaError._QUEUE_FULL, KafkaError.MSG_SIZE_TOO_LARGE])
def test_what_the_library_does_not_take_is_told_and_holds_nobody_up(line: Line, producer: Producer, code: int):
    # given
    refusal = producer.refused[b"1"] = KafkaError(code)
    future = line.put(b"1")
    assert line.refusals == [(future, refusal)]

    # when
    line.put(b"2")

    # then: nothing is on its way before it
    assert producer.taken == [b"2"]


def test_of_a_bunch_what_the_library_does_not_take_is_told_alone(line: Line, producer: Producer):
    # given
    producer.refused[b"2"] = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
    futures = [line.put(value) for value in (b"0", b"1", b"2", b"3")]

    # when
    producer.acknowledge()
    line.hand_over()
    producer.acknowledge()

    # then
    assert [future for future, _ in line.refusals] == [futures[2]]
    assert line.futures == [futures[0], futures[1], futures[3]]


def test_what_was_being_handed_over_when_the_program_was_interrupted_is_handed_over_again(line: Line, producer: Producer):
    # given
    producer.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        line.put(b"1")

    # when
    producer.interrupted = False
    line.put(b"2")

    # then
    assert producer.taken == [b"1", b"2"]


def test_among_threads_that_add_and_one_that_acknowledges_nothing_is_lost_or_left(line: Line, producer: Producer):
    # given
    def add(letter: int):
        for number in range(500):
            line.put(bytes([letter]) + b"%d" % number)

    threads = [threading.Thread(target=add, args=(letter,)) for letter in b"abcd"]
    for thread in threads:
        thread.start()

    # when: every acknowledgement is followed by a hand-over
    while any(thread.is_alive() for thread in threads) or line.acknowledged < 2_000:
        if producer.callbacks:
            producer.acknowledge()
            line.hand_over()

    # then
    for letter in b"abcd":
        assert [value[1:] for value in producer.taken if value[0] == letter] == [b"%d" % number for number in range(500)]
    assert len(producer.taken) == 2_000
