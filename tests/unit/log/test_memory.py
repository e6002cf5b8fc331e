"""What is special about a log in memory."""

from __future__ import annotations

import gc
import os
import time
from contextlib import closing

import pytest

from eventresults.domain.position import Position
from eventresults.errors import ConfigError, LogUnavailable
from eventresults.log.memory import MemoryLog
from eventresults.testing.logs import read_all


def test_logs_without_a_name_share_nothing() -> None:
    one, other = MemoryLog(), MemoryLog()
    one.writer().append(b"key", b"value").result(0)
    assert (one.info(1).ends, other.info(1).ends) == ({0: 1}, {0: 0})


def test_logs_of_one_name_share_their_records_as_long_as_one_is_held() -> None:
    one, other = MemoryLog("shared"), MemoryLog("shared")
    one.writer().append(b"key", b"value").result(0)
    assert other.info(1).ends == {0: 1}
    del one
    gc.collect()
    assert MemoryLog("shared").info(1).ends == {0: 1}
    del other
    gc.collect()
    assert MemoryLog("shared").info(1).ends == {0: 0}


def test_a_writer_alone_keeps_a_shared_log_alive() -> None:
    writer = MemoryLog("kept").writer()
    writer.append(b"key", b"value").result(0)
    gc.collect()
    assert MemoryLog("kept").info(1).ends == {0: 1}


def test_a_shared_log_keeps_its_partitions() -> None:
    log = MemoryLog("three", 3)
    assert MemoryLog("three").info(1).partitions == 3
    with pytest.raises(ConfigError, match="3 partitions"):
        MemoryLog("three", 4)
    assert log.url == "memory://three"


def test_a_log_has_at_least_one_partition() -> None:
    with pytest.raises(ConfigError):
        MemoryLog(partitions=0)


def test_log_time_is_the_clock_and_never_falls() -> None:
    times = iter([5, 3, 7])
    log = MemoryLog(clock=lambda: next(times))
    for _ in range(3):
        log.writer().append(b"key", b"value")
    assert [record.log_time for record in read_all(log)[0]] == [5, 5, 7]


def test_a_hole_is_stepped_over() -> None:
    log = MemoryLog()
    writer = log.writer()
    writer.append(b"key", b"before")
    log.leave_hole(0, 2)
    writer.append(b"key", b"after")
    log.leave_hole(0)
    with closing(log.reader({0: 1})) as reader:
        poll = reader.poll(0)[0]
    assert ([record.offset for record in poll.records], poll.next_offset) == ([3], 5)
    assert log.read(Position(0, 1), 0) is None


def test_a_lost_tail_gives_its_offsets_again() -> None:
    log = MemoryLog()
    writer = log.writer()
    for value in (b"0", b"1", b"2"):
        writer.append(b"key", value)
    log.lose_from(Position(0, 1))
    assert writer.append(b"key", b"other").result(0) == Position(0, 1)
    assert [record.value for record in read_all(log)[0]] == [b"0", b"other"]


def test_a_forked_child_is_told_that_nobody_would_see_it() -> None:
    writer = MemoryLog().writer()
    child = os.fork()
    if child == 0:
        try:
            writer.append(b"key", b"value")
        except LogUnavailable:
            os._exit(7)
        os._exit(1)
    deadline = time.monotonic() + 10
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(ended[1]) == 7
