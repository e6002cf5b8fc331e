from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
import typer

from eventresults.cli.logread import Stretch, follow, last, place, read, stretch
from eventresults.domain.position import Position
from eventresults.log.memory import MemoryLog


@pytest.fixture
def log():
    """Two partitions; the clock moves a second with each record."""
    ticks = itertools.count(1_000, 1_000)
    made = MemoryLog(partitions=2, clock=lambda: next(ticks))
    writer = made.writer()
    for number in range(40):
        writer.append(f"task-{number % 4}".encode(), str(number).encode()).result(5)
    writer.close()
    yield made
    made.close()


def _values(found):
    return [int(one.record.value) for one in found]


def _between(log, begin=(), end=(), partitions=None):
    return stretch(log, log.info(5), begin=begin, end=end, partitions=partitions)


def test_a_whole_log_is_read_in_order_within_each_partition(log):
    found = list(read(log, _between(log)))
    assert sorted(_values(found)) == list(range(40))
    for partition in (0, 1):
        offsets = [one.record.offset for one in found if one.partition == partition]
        assert offsets == sorted(offsets)


def test_positions_name_the_partitions_to_read(log):
    found = list(read(log, _between(log, begin=[Position(1, 3)], end=[Position(1, 6)])))
    assert [(one.partition, one.record.offset) for one in found] == [(1, 3), (1, 4), (1, 5)]


def test_times_cut_every_partition(log):
    whole = list(read(log, _between(log)))
    since, until = datetime.fromtimestamp(10.5, UTC), datetime.fromtimestamp(20, UTC)
    found = list(read(log, _between(log, begin=[since], end=[until])))
    assert sorted(_values(found)) == sorted(int(one.record.value) for one in whole if 10_500 <= one.record.log_time < 20_000)
    assert found


def test_a_time_after_the_end_finds_nothing(log):
    assert list(read(log, _between(log, begin=[datetime.fromtimestamp(10_000, UTC)]))) == []


def test_an_end_beyond_the_end_is_the_end(log):
    assert len(list(read(log, _between(log, end=[Position(0, 10**9)])))) == log.info(5).ends[0]


def test_what_retention_removed_is_passed_over_and_told(log, capsys):
    log.delete_before(Position(0, 4))
    found = list(read(log, _between(log, begin=[Position(0, 0)])))
    assert found[0].record.offset == 4
    assert "The log begins at 0:4 now" in capsys.readouterr().err


def test_a_partition_that_is_not_there_is_wrong_usage(log):
    with pytest.raises(typer.BadParameter, match="no partition 7"):
        _between(log, begin=[Position(7, 0)])


def test_the_last_records_are_the_last_wanted_ones(log):
    info = log.info(5)
    assert _values(last(log, info, (0, 1), 3, lambda _: True)) == [37, 38, 39]
    assert _values(last(log, info, (0, 1), 2, lambda record: record.key == b"task-1")) == [33, 37]
    assert _values(last(log, info, (0, 1), 100, lambda _: True)) == list(range(40))
    assert last(log, info, (0, 1), 0, lambda _: True) == []


def test_the_last_wanted_record_is_found_however_far_back():
    with_one = MemoryLog()
    writer = with_one.writer()
    writer.append(b"rare", b"0").result(5)
    for number in range(1, 1_000):
        writer.append(b"common", str(number).encode())
    assert writer.flush(5)
    found = last(with_one, with_one.info(5), (0,), 1, lambda record: record.key == b"rare")
    assert _values(found) == [0]


def test_following_tells_what_comes(log):
    ends = log.info(5).ends
    coming = follow(log, ends)
    writer = log.writer()
    writer.append(b"task-1", b"99").result(5)
    assert _values(next(batch for batch in coming if batch)) == [99]
    coming.close()


def test_an_empty_stretch_asks_nothing(log):
    assert list(read(log, Stretch({0: 5}, {0: 5}))) == []


@pytest.mark.parametrize(("text", "expected"), [("0:42", Position(0, 42)), ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC))])
def test_a_place_is_a_position_or_a_time(text, expected):
    assert place(text) == expected
