"""Where a record lies that was acknowledged without saying so."""

from __future__ import annotations

import queue
import threading

import pytest

from eventresults.domain.position import Position
from eventresults.errors import AppendTimeout
from eventresults.log import placing as module
from eventresults.log.appends import Append
from eventresults.log.memory import MemoryLog
from eventresults.log.placing import Placing

DEADLINE = 5.0


def unplaced(key: bytes) -> Append:
    future = Append()
    future.key = key
    return future


@pytest.fixture
def placed() -> queue.SimpleQueue[Append]:
    return queue.SimpleQueue()


def test_a_record_is_found_however_far_from_the_end_it_lies(monkeypatch, placed):
    # given
    monkeypatch.setattr(module, "FIRST_STEP", 3)
    log = MemoryLog()
    writer = log.writer()
    for number in range(200):
        writer.append(b"k", b"%d" % number)
    placing = Placing(log, timeout=DEADLINE, placed=placed.put)
    # when / then
    for number in (199, 197, 150, 0):
        future = unplaced(b"k")
        placing.find(future, 0, b"%d" % number)
        assert future.result(DEADLINE) == Position(0, number)
        assert placed.get(timeout=DEADLINE) is future


class Held(MemoryLog):
    """Answers once it is let go."""

    def __init__(self):
        super().__init__()
        self.let_go = threading.Event()

    def info(self, timeout: float):
        assert self.let_go.wait(DEADLINE)
        return super().info(timeout)


def test_equal_records_are_found_at_places_of_their_own(placed):
    # given
    log = Held()
    writer = log.writer()
    for value in (b"v", b"w", b"v"):
        writer.append(b"k", value)
    placing = Placing(log, timeout=DEADLINE, placed=placed.put)
    futures = [unplaced(b"k") for _ in range(2)]

    # when: the second is looked for before the first is found
    for future in futures:
        placing.find(future, 0, b"v")
    log.let_go.set()

    # then
    assert [future.result(DEADLINE) for future in futures] == [Position(0, 0), Position(0, 2)]


def test_one_that_is_found_nowhere_says_what_to_do(placed):
    log = MemoryLog()
    log.writer().append(b"k", b"another")
    future = unplaced(b"k")
    Placing(log, timeout=0.05, placed=placed.put).find(future, 0, b"v")
    with pytest.raises(AppendTimeout, match="append it again with the same event_id"):
        future.result(DEADLINE)
    assert placed.get(timeout=DEADLINE) is future
