"""A log that reaches back as far as an older copy of it does."""

from __future__ import annotations

from contextlib import closing

import pytest

from eventresults.domain.position import Position
from eventresults.errors import ConfigError
from eventresults.log.joined import JoinedLog
from eventresults.log.memory import MemoryLog
from eventresults.log.stretch import Stretch, first_at, read


class Copy:
    """The first `count` records of each partition, as an archive made then would hold them."""

    def __init__(self, log, count, start=0):
        self._log = log
        self._count = count
        self._start = start
        self.url = "archive"

    def info(self, timeout):
        info = self._log.info(timeout)
        return info._replace(starts=dict.fromkeys(info.starts, self._start), ends=dict.fromkeys(info.starts, self._count))

    def reader(self, positions):
        return self._log.reader(positions)

    def read(self, position, timeout):
        return self._log.read(position, timeout)


class Trimmed(MemoryLog):
    """A log of two partitions with ten records each, of which retention took the first ones; and all of them, for its archive."""

    def __init__(self, starts):
        ticks = iter(range(1_000, 100_000))
        self.whole = MemoryLog(partitions=2, clock=lambda: next(ticks))
        writer = self.whole.writer()
        counts = [0, 0]
        number = 0
        while min(counts) < 10:
            key = f"key-{number}".encode()
            partition = self.whole.partition_for(key)
            if counts[partition] < 10:
                writer.append(key, str(number).encode()).result(5)
                counts[partition] += 1
            number += 1
        writer.close()
        self._starts = dict(enumerate(starts))

    def info(self, timeout):
        return self.whole.info(timeout)._replace(starts=self._starts)

    def ends(self, partitions, timeout):
        return self.whole.ends(partitions, timeout)

    def read(self, position, timeout):
        return self.whole.read(position, timeout) if position.offset >= self._starts[position.partition] else None

    def reader(self, positions):
        assert all(offset >= self._starts[partition] for partition, offset in positions.items())
        return self.whole.reader(positions)

    def partition_for(self, key):
        return self.whole.partition_for(key)

    url = "the log"


@pytest.fixture
def trimmed():
    log = Trimmed([4, 7])
    with closing(log.whole):
        yield log


def offsets(log, starts):
    ends = log.info(5).ends
    found = read(log, Stretch(starts, {partition: ends[partition] for partition in starts}))
    by_partition = {partition: [] for partition in starts}
    for partition, record in found:
        by_partition[partition].append(record.offset)
    return by_partition


def test_what_retention_took_is_read_in_the_older_copy_and_the_rest_in_the_log(trimmed):
    joined = JoinedLog(trimmed, Copy(trimmed.whole, 8))
    assert joined.info(5).starts == {0: 0, 1: 0}
    assert offsets(joined, {0: 0, 1: 0}) == {0: list(range(10)), 1: list(range(10))}
    assert offsets(joined, {0: 2, 1: 9}) == {0: list(range(2, 10)), 1: [9]}
    assert offsets(joined, {0: 5}) == {0: list(range(5, 10))}
    assert joined.read(Position(0, 1), 5).offset == 1
    assert joined.read(Position(0, 6), 5).offset == 6


def test_a_time_is_found_in_either(trimmed):
    joined = JoinedLog(trimmed, Copy(trimmed.whole, 8))
    for record in (joined.read(Position(0, offset), 5) for offset in range(10)):
        assert first_at(joined, 0, 0, 10, record.log_time) == record.offset


def test_where_records_are_missing_between_the_two_the_log_alone_is_read(trimmed):
    joined = JoinedLog(trimmed, Copy(trimmed.whole, 5))
    assert joined.info(5).starts == {0: 0, 1: 7}
    assert offsets(joined, {0: 0, 1: 7}) == {0: list(range(10)), 1: [7, 8, 9]}


def test_an_older_copy_of_another_log_is_refused(trimmed):
    with closing(MemoryLog(partitions=2)) as other, pytest.raises(ConfigError, match="records of another log"):
        JoinedLog(trimmed, Copy(other, 5))
