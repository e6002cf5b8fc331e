"""What every `Log` promises, as tests: subclass `LogContract`, give it a `logs` fixture (a `LogMaker`), and run pytest."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Protocol

import pytest

from eventresults.domain.position import Position
from eventresults.errors import Closed, LogError, ValueTooLarge, ViewStale
from eventresults.log.appends import Append
from eventresults.log.base import EventReader, EventWriter, Log, Record

#: Seconds that anything here may take before it counts as not coming.
DEADLINE = 30.0

#: The partition of each key among 1, 3, 4 and 12, as computed by Kafka's own Java client (`Utils.toPositive(Utils.murmur2(key)) % n`).
PARTITIONS: dict[bytes, dict[int, int]] = {
    b"\x00": {1: 0, 3: 2, 4: 0, 12: 8},
    b" ": {1: 0, 3: 0, 4: 1, 12: 9},
    b"0": {1: 0, 3: 2, 4: 0, 12: 8},
    b"a": {1: 0, 3: 1, 4: 0, 12: 4},
    b"ab": {1: 0, 3: 2, 4: 2, 12: 2},
    b"abc": {1: 0, 3: 0, 4: 3, 12: 3},
    b"abcd": {1: 0, 3: 2, 4: 0, 12: 8},
    b"abcde": {1: 0, 3: 1, 4: 1, 12: 1},
    b"\xff\xfe\x00\x80": {1: 0, 3: 2, 4: 0, 12: 8},
    "größe-日本-🎉".encode(): {1: 0, 3: 1, 4: 3, 12: 7},
    b"0192f0c1-7b1e-7cc3-98c4-dc0c0c07398f": {1: 0, 3: 2, 4: 3, 12: 11},
    (b"abcdefghijklmnopqrstuvwxyz" * 40)[:1024]: {1: 0, 3: 2, 4: 3, 12: 11},
}


class LogMaker(Protocol):
    """What makes the logs under test."""

    def new(self, partitions: int = 1, *, max_value_bytes: int = 8 * 1024 * 1024) -> Log:
        """A log without records, closed after the test; of one partition if it cannot have more."""

    def again(self, log: Log) -> Log:
        """Another log of the same records, as another process would open it; closed after the test."""

    def delete_before(self, log: Log, position: Position) -> None:
        """Have the log's retention delete what lies before this offset of the partition."""


class LogContract:
    """The contract of `eventresults.log.base.Log`, its writers and its readers."""

    @pytest.fixture
    def logs(self) -> LogMaker:
        """Makes logs."""
        raise NotImplementedError

    @pytest.fixture
    def log(self, logs: LogMaker) -> Log:
        """A new log of one partition."""
        return logs.new()

    # ── appending and reading ────────────────────────────────────────────────────────────────────────────────────────

    def test_records_are_read_in_the_order_of_their_appending(self, log: Log) -> None:
        values = [b"%d" % number for number in range(2_000)]
        with writing(log) as writer:
            futures = [writer.append(b"key", value) for value in values]
            assert writer.flush(DEADLINE)
        assert [record.value for record in read_all(log)[0]] == values
        assert all(future.done() for future in futures)

    def test_a_future_gives_the_position_that_a_reader_sees(self, logs: LogMaker) -> None:
        log = logs.new(3)
        with writing(log) as writer:
            futures = {number: writer.append(b"key-%d" % number, b"%d" % number) for number in range(300)}
            positions = {number: future.result(DEADLINE) for number, future in futures.items()}
        seen = {
            int(record.value or b""): Position(partition, record.offset)
            for partition, records in read_all(log).items()
            for record in records
        }
        assert seen == positions

    def test_a_future_of_the_callers_is_the_one_that_is_completed(self, log: Log) -> None:
        with writing(log) as writer:
            future = Append()
            assert writer.append(b"key", b"value", None, future) is future
            assert future.result(DEADLINE) == Position(0, 0)

    def test_a_key_and_a_value_come_back_byte_for_byte(self, log: Log) -> None:
        pairs = [(b"k", b""), (b"\xff\x00k", b"\x00\xff"), ("schlüssel-日本".encode(), "wért".encode()), (b"k" * 1024, b"v" * 1024)]
        with writing(log) as writer:
            for key, value in pairs:
                writer.append(key, value)
            assert writer.flush(DEADLINE)
        assert [(record.key, record.value) for record in read_all(log)[0]] == pairs

    def test_a_value_of_a_megabyte_comes_back(self, log: Log) -> None:
        value = bytes(range(256)) * 4096
        with writing(log) as writer:
            position = writer.append(b"key", value).result(DEADLINE)
        found = log.read(position, DEADLINE)
        assert found is not None
        assert found.value == value

    def test_a_value_over_the_limit_is_refused_and_the_writer_goes_on(self, logs: LogMaker) -> None:
        log = logs.new(max_value_bytes=1_000)
        with writing(log) as writer:
            with pytest.raises(ValueTooLarge) as refusal:
                writer.append(b"key", b"x" * 1_001)
            writer.append(b"key", b"x" * 1_000).result(DEADLINE)
        assert (refusal.value.facts["size"], refusal.value.facts["limit"]) == (1_001, 1_000)
        assert len(read_all(log)[0]) == 1

    def test_log_time_never_falls_and_is_of_today(self, log: Log) -> None:
        before = time.time() * 1000 - 2_000
        with writing(log) as writer:
            for _ in range(50):
                writer.append(b"key", b"value").result(DEADLINE)
        times = [record.log_time for record in read_all(log)[0]]
        assert times == sorted(times)
        assert before <= times[0] <= times[-1] <= time.time() * 1000 + 2_000

    def test_appenders_at_once_keep_the_order_of_each_key(self, logs: LogMaker) -> None:
        # given
        log = logs.new(3)

        def append(name: int, writer: EventWriter) -> None:
            for number in range(200):
                writer.append(b"key-%d" % name, b"%d" % number)

        # when two writers are shared by eight threads
        with writing(log) as one, writing(log) as other, ThreadPoolExecutor(8) as pool:
            list(pool.map(append, range(8), [one, other] * 4))
            assert one.flush(DEADLINE)
            assert other.flush(DEADLINE)
        # then
        by_key = defaultdict(list)
        for records in read_all(log).values():
            for record in records:
                by_key[record.key].append(int(record.value or b""))
        assert by_key == {b"key-%d" % name: list(range(200)) for name in range(8)}

    def test_offsets_are_never_given_twice(self, log: Log) -> None:
        with writing(log) as one, writing(log) as other:
            futures = [writer.append(b"key", b"value") for _ in range(300) for writer in (one, other)]
            offsets = [future.result(DEADLINE).offset for future in futures]
        assert len(set(offsets)) == len(offsets)

    def test_an_append_cannot_be_cancelled(self, log: Log) -> None:
        with writing(log) as writer:
            future = writer.append(b"key", b"value")
            assert not future.cancel()
            future.result(DEADLINE)

    def test_flush_waits_for_all_that_was_handed_over(self, log: Log) -> None:
        with writing(log) as writer:
            assert writer.flush(0.0)
            futures = [writer.append(b"key", b"value") for _ in range(500)]
            assert writer.flush(DEADLINE)
            assert all(future.done() for future in futures)

    # ── which partition ──────────────────────────────────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize("partitions", [1, 3, 4, 12])
    def test_a_key_lives_where_every_kafka_client_would_put_it(self, logs: LogMaker, partitions: int) -> None:
        log = logs.new(partitions)
        count = log.info(DEADLINE).partitions
        with writing(log) as writer:
            found = {key: writer.append(key, b"value").result(DEADLINE).partition for key in PARTITIONS}
        assert found == {key: numbers[count] for key, numbers in PARTITIONS.items()}
        assert found == {key: log.partition_for(key) for key in PARTITIONS}

    # ── what a log says of itself ────────────────────────────────────────────────────────────────────────────────────

    def test_info_of_a_new_log_is_empty_and_keeps_its_id(self, logs: LogMaker) -> None:
        log = logs.new(3)
        info = log.info(DEADLINE)
        assert info.starts == info.ends == dict.fromkeys(range(info.partitions), 0)
        with writing(log) as writer:
            position = writer.append(b"key", b"value").result(DEADLINE)
        later = logs.again(log).info(DEADLINE)
        assert (later.log_id, later.partitions) == (info.log_id, info.partitions)
        assert later.ends[position.partition] == 1

    def test_two_logs_have_two_ids(self, logs: LogMaker) -> None:
        assert logs.new().info(DEADLINE).log_id != logs.new().info(DEADLINE).log_id

    def test_an_end_asked_for_after_an_acknowledgement_lies_beyond_it(self, log: Log) -> None:
        with writing(log) as writer:
            for _ in range(50):
                position = writer.append(b"key", b"value").result(DEADLINE)
                assert log.ends([0], DEADLINE)[0] > position.offset

    def test_ends_are_those_of_the_partitions_asked_for(self, logs: LogMaker) -> None:
        log = logs.new(3)
        count = log.info(DEADLINE).partitions
        assert log.ends([count - 1], DEADLINE) == {count - 1: 0}
        assert log.ends([], DEADLINE) == {}
        with pytest.raises(LogError):
            log.ends([count], DEADLINE)

    def test_the_end_is_answered_while_a_reader_polls(self, log: Log) -> None:
        with reading(log, {0: 0}) as reader, ThreadPoolExecutor(1) as pool:
            polling = pool.submit(reader.poll, DEADLINE)
            began = time.monotonic()
            assert log.ends([0], DEADLINE) == {0: 0}
            assert time.monotonic() - began < DEADLINE / 2
            reader.wake()
            polling.result(DEADLINE)

    def test_read_gives_the_record_at_exactly_that_position(self, log: Log) -> None:
        with writing(log) as writer:
            positions = [writer.append(b"key", b"%d" % number).result(DEADLINE) for number in range(20)]
        found = log.read(positions[7], DEADLINE)
        assert found is not None
        assert (found.offset, found.key, found.value) == (positions[7].offset, b"key", b"7")
        assert found in read_all(log)[0]

    def test_read_gives_none_where_the_log_holds_nothing(self, logs: LogMaker) -> None:
        log = logs.new()
        with writing(log) as writer:
            last = [writer.append(b"key", b"value").result(DEADLINE) for _ in range(5)][-1]
        logs.delete_before(log, Position(0, 2))
        assert log.read(Position(0, last.offset + 1), DEADLINE) is None
        assert log.read(Position(0, 0), DEADLINE) is None
        assert log.read(Position(7, 0), DEADLINE) is None

    # ── reading on ───────────────────────────────────────────────────────────────────────────────────────────────────

    def test_a_reader_begins_where_it_was_told_to(self, log: Log) -> None:
        with writing(log) as writer:
            positions = [writer.append(b"key", b"%d" % number).result(DEADLINE) for number in range(100)]
        records = read_all(log, {0: positions[60].offset})[0]
        assert [record.value for record in records] == [b"%d" % number for number in range(60, 100)]

    def test_polls_join_without_a_gap_or_a_double(self, log: Log) -> None:
        with writing(log) as writer, reading(log, {0: 0}) as reader:
            expected, seen, position = [], [], 0
            for number in range(200):
                writer.append(b"key", b"%d" % number)
                expected.append(b"%d" % number)
                if number % 20 == 0:
                    for poll in reader.poll(0.0).values():
                        assert all(position <= record.offset < poll.next_offset for record in poll.records)
                        position = poll.next_offset
                        seen += [record.value for record in poll.records]
            assert writer.flush(DEADLINE)
            end = log.ends([0], DEADLINE)[0]
            deadline = time.monotonic() + DEADLINE
            while position < end and time.monotonic() < deadline:
                for poll in reader.poll(0.5).values():
                    position = poll.next_offset
                    seen += [record.value for record in poll.records]
        assert seen == expected

    def test_a_reader_reads_its_partitions_alone(self, logs: LogMaker) -> None:
        log = logs.new(3)
        with writing(log) as writer:
            futures = [writer.append(b"key-%d" % number, b"value") for number in range(100)]
            positions = [future.result(DEADLINE) for future in futures]
        wanted = positions[0].partition
        records = read_all(log, {wanted: 0})
        assert set(records) == {wanted}
        assert len(records[wanted]) == sum(position.partition == wanted for position in positions)

    def test_a_reader_of_nothing_waits_and_reads_nothing(self, log: Log) -> None:
        with writing(log) as writer, reading(log, {}) as reader:
            writer.append(b"key", b"value").result(DEADLINE)
            assert reader.poll(0.05) == {}

    def test_a_waiting_reader_sees_an_append_long_before_its_timeout(self, log: Log) -> None:
        with writing(log) as writer, reading(log, {0: 0}) as reader, ThreadPoolExecutor(1) as pool:
            assert reader.poll(0.05) == {}
            polling = pool.submit(reader.poll, DEADLINE)
            began = time.monotonic()
            writer.append(b"key", b"value").result(DEADLINE)
            assert [record.value for record in polling.result(DEADLINE)[0].records] == [b"value"]
            assert time.monotonic() - began < DEADLINE / 2

    def test_another_log_of_the_same_records_sees_an_append_soon(self, logs: LogMaker) -> None:
        log = logs.new()
        with writing(log) as writer, reading(logs.again(log), {0: 0}) as reader:
            assert reader.poll(0.05) == {}
            writer.append(b"key", b"value").result(DEADLINE)
            assert [record.value for record in reader.poll(DEADLINE)[0].records] == [b"value"]

    def test_many_readers_read_the_same(self, log: Log) -> None:
        with ThreadPoolExecutor(4) as pool:
            readings = [pool.submit(read_all, log, {0: 0}, at_least=200) for _ in range(4)]
            with writing(log) as writer:
                for number in range(200):
                    writer.append(b"key", b"%d" % number)
                assert writer.flush(DEADLINE)
            results = [reading.result(DEADLINE)[0] for reading in readings]
        assert all(result == results[0] for result in results)
        assert len(results[0]) == 200

    def test_poll_ends_at_its_timeout(self, log: Log) -> None:
        with reading(log, {0: 0}) as reader:
            reader.poll(0.0)
            began = time.monotonic()
            assert reader.poll(0.2) == {}
            assert 0.15 <= time.monotonic() - began < DEADLINE / 2

    def test_wake_ends_the_poll_in_progress(self, log: Log) -> None:
        with reading(log, {0: 0}) as reader, ThreadPoolExecutor(1) as pool:
            reader.poll(0.0)
            polling = pool.submit(reader.poll, DEADLINE)
            reader.wake()
            began = time.monotonic()
            assert polling.result(DEADLINE) == {}
            assert time.monotonic() - began < DEADLINE / 2

    def test_wake_ends_the_next_poll_and_no_other(self, log: Log) -> None:
        with reading(log, {0: 0}) as reader:
            reader.poll(0.0)
            reader.wake()
            began = time.monotonic()
            assert reader.poll(DEADLINE) == {}
            assert time.monotonic() - began < DEADLINE / 2
            began = time.monotonic()
            assert reader.poll(0.2) == {}
            assert time.monotonic() - began >= 0.15

    def test_wake_takes_nothing_away(self, log: Log) -> None:
        with writing(log) as writer, reading(log, {0: 0}) as reader:
            writer.append(b"key", b"value").result(DEADLINE)
            reader.wake()
            assert [record.value for record in read_on(reader, 1)] == [b"value"]

    # ── positions outside ────────────────────────────────────────────────────────────────────────────────────────────

    def test_a_position_that_retention_passed_is_stale(self, logs: LogMaker) -> None:
        # given
        log = logs.new()
        with writing(log) as writer:
            for number in range(10):
                writer.append(b"key", b"%d" % number).result(DEADLINE)
        # when
        logs.delete_before(log, Position(0, 4))
        # then
        with reading(log, {0: 2}) as reader:
            stale = stale_of(reader)
            assert (stale["partition"], stale["position"], stale["start"], stale["end"]) == (0, 2, 4, 10)
            with pytest.raises(ViewStale):
                poll_until_raised(reader)
        assert [record.value for record in read_all(log, {0: 4})[0]] == [b"%d" % number for number in range(4, 10)]
        assert log.info(DEADLINE).starts == {0: 4}

    def test_a_position_beyond_the_end_is_stale(self, log: Log) -> None:
        with writing(log) as writer:
            writer.append(b"key", b"value").result(DEADLINE)
        with reading(log, {0: 5}) as reader:
            stale = stale_of(reader)
        assert (stale["partition"], stale["position"], stale["start"], stale["end"]) == (0, 5, 0, 1)

    def test_a_partition_that_is_not_there_is_stale(self, log: Log) -> None:
        with reading(log, {7: 0}) as reader:
            assert stale_of(reader)["partition"] == 7

    def test_offsets_go_on_where_retention_deleted_everything(self, logs: LogMaker) -> None:
        log = logs.new()
        with writing(log) as writer:
            for _ in range(5):
                writer.append(b"key", b"value").result(DEADLINE)
            logs.delete_before(log, Position(0, 5))
            info = log.info(DEADLINE)
            assert (info.starts, info.ends) == ({0: 5}, {0: 5})
            assert writer.append(b"key", b"value").result(DEADLINE) == Position(0, 5)

    # ── closing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def test_making_a_log_a_writer_and_a_reader_opens_nothing(self, logs: LogMaker) -> None:
        log = logs.new()
        before = threading.active_count()
        with writing(log), reading(log, {0: 0}):
            assert threading.active_count() == before

    def test_close_acknowledges_what_was_handed_over(self, log: Log) -> None:
        writer = log.writer()
        futures = [writer.append(b"key", b"value") for _ in range(100)]
        writer.close()
        assert {future.result(0).offset for future in futures} == set(range(100))

    def test_everything_closes_twice_and_quickly(self, log: Log) -> None:
        writer, reader = log.writer(), log.reader({0: 0})
        writer.append(b"key", b"value").result(DEADLINE)
        reader.poll(DEADLINE)
        log.info(DEADLINE)
        began = time.monotonic()
        for each in (writer, reader, log, writer, reader, log):
            each.close()
        assert time.monotonic() - began < 5

    def test_a_closed_writer_reader_or_log_raises_closed(self, log: Log) -> None:
        writer, reader = log.writer(), log.reader({0: 0})
        writer.append(b"key", b"value").result(DEADLINE)
        reader.poll(DEADLINE)
        for each in (writer, reader, log):
            each.close()
        for act in _acts(log, writer, reader):
            with pytest.raises(Closed):
                act()

    def test_what_was_never_used_closes_too(self, log: Log) -> None:
        writer, reader = log.writer(), log.reader({0: 0})
        for each in (writer, reader, log):
            each.close()
        for act in _acts(log, writer, reader):
            with pytest.raises(Closed):
                act()

    def test_closing_a_reader_ends_its_poll_with_closed(self, log: Log) -> None:
        reader = log.reader({0: 0})
        reader.poll(0.0)
        with ThreadPoolExecutor(1) as pool:
            polling = pool.submit(reader.poll, DEADLINE)
            began = time.monotonic()
            reader.close()
            with pytest.raises(Closed):
                polling.result(DEADLINE)
        assert time.monotonic() - began < 5

    def test_writers_and_readers_outlive_their_log(self, log: Log) -> None:
        writer, reader = log.writer(), log.reader({0: 0})
        writer.append(b"key", b"0").result(DEADLINE)
        reader.poll(DEADLINE)
        log.close()
        writer.append(b"key", b"1").result(DEADLINE)
        assert [record.value for record in read_on(reader, 1)] == [b"1"]
        writer.close()
        reader.close()

    def test_nothing_is_left_running_after_close(self, log: Log) -> None:
        before = set(threading.enumerate())
        with writing(log) as writer, reading(log, {0: 0}) as reader:
            writer.append(b"key", b"value").result(DEADLINE)
            reader.poll(DEADLINE)
            log.info(DEADLINE)
        log.close()
        deadline = time.monotonic() + 5
        while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert left == set()


@contextmanager
def writing(log: Log) -> Iterator[EventWriter]:
    """A writer, closed at the end."""
    with closing(log.writer()) as writer:
        yield writer


@contextmanager
def reading(log: Log, positions: Mapping[int, int]) -> Iterator[EventReader]:
    """A reader, closed at the end."""
    with closing(log.reader(positions)) as reader:
        yield reader


def read_on(reader: EventReader, count: int) -> list[Record]:
    """The next records, at least so many."""
    records: list[Record] = []
    deadline = time.monotonic() + DEADLINE
    while len(records) < count:
        assert time.monotonic() < deadline, "the records did not come"
        records += [record for poll in reader.poll(0.5).values() for record in poll.records]
    return records


def read_all(log: Log, positions: Mapping[int, int] | None = None, *, at_least: int = 0) -> dict[int, list[Record]]:
    """What lies from these positions (all partitions from their start) to the end as it is now, by partition."""
    info = log.info(DEADLINE)
    at = dict(info.starts if positions is None else positions)
    records: dict[int, list[Record]] = {number: [] for number in at}

    deadline = time.monotonic() + DEADLINE
    with reading(log, at) as reader:
        while any(at[number] < info.ends[number] for number in at) or sum(map(len, records.values())) < at_least:
            assert time.monotonic() < deadline, "the records did not come"
            for number, poll in reader.poll(0.5).items():
                records[number] += poll.records
                at[number] = poll.next_offset
    return records


def poll_until_raised(reader: EventReader) -> None:
    """Poll without finding anything, until poll raises or the deadline passes."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        assert reader.poll(0.5) == {}, "a record came where an error was to come"


def stale_of(reader: EventReader) -> dict[str, object]:
    """The facts of the `ViewStale` that the reader raises."""
    with pytest.raises(ViewStale) as stale:
        poll_until_raised(reader)
    return stale.value.facts


def _acts(log: Log, writer: EventWriter, reader: EventReader) -> list[Callable[[], object]]:
    return [
        lambda: writer.append(b"key", b"value"),
        lambda: reader.poll(0.0),
        lambda: log.info(DEADLINE),
        lambda: log.ends([0], DEADLINE),
        lambda: log.read(Position(0, 0), DEADLINE),
        log.writer,
        lambda: log.reader({0: 0}),
    ]
