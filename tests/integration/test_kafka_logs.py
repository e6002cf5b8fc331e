"""What a log in Kafka does when brokers, topics and passwords fail: both clients, real brokers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from eventresults.domain.position import Position
from eventresults.errors import AppendTimeout, Closed, LogError, LogUnavailable, TopicMisconfigured, ValueTooLarge, ViewStale
from eventresults.log.base import EventReader, Log
from eventresults.log.brokerlog import BrokerLog
from eventresults.log.confluent import ConfluentLog
from eventresults.log.kafka import KafkaLog
from eventresults.testing.logs import DEADLINE, read_all, read_on, reading, stale_of, writing
from tests.support.kafka import Kafka, KafkaCluster, require_kafka
from tests.support.kafka.fixtures import MakeTopic
from tests.support.kafka.ports import ReservedPorts

pytestmark = pytest.mark.kafka

_REPOSITORY = Path(__file__).parents[2]

MakeLog = Callable[..., BrokerLog]


@pytest.fixture(params=[KafkaLog, ConfluentLog], ids=["kafka-python", "confluent"])
def client(request: pytest.FixtureRequest) -> type[BrokerLog]:
    return request.param


@pytest.fixture
def make_log(client: type[BrokerLog]) -> Iterator[MakeLog]:
    """Makes a log with this client; closed after the test, and its writers, too: one that a failing test left open would go on."""
    with ExitStack() as stack:

        def make(servers: Any, topic: str, **settings: Any) -> BrokerLog:
            log = stack.enter_context(closing(client(servers, topic, **settings)))
            make_writer = log.writer
            log.writer = lambda: stack.enter_context(closing(make_writer()))
            return log

        yield make


@pytest.fixture
def log(make_log: MakeLog, kafka: Kafka, kafka_topic: str) -> BrokerLog:
    return make_log(kafka.bootstrap, kafka_topic)


@pytest.fixture(scope="module")
def guarded_kafka() -> Iterator[KafkaCluster]:
    """One broker that wants a login."""
    require_kafka()
    with KafkaCluster(sasl=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def three_brokers() -> Iterator[KafkaCluster]:
    require_kafka()
    with KafkaCluster(brokers=3) as cluster:
        yield cluster


# ── reaching the brokers ─────────────────────────────────────────────────────────────────────────────────────────────


def test_brokers_that_are_not_there_are_named_within_the_connect_timeout(make_log: MakeLog) -> None:
    ports = ReservedPorts(1)
    try:
        address = f"127.0.0.1:{ports.numbers[0]}"
        log = make_log(address, "topic", connect_timeout=1.0)
        acts: list[Callable[[], object]] = [
            lambda: log.info(1.0),
            lambda: log.ends([0], 1.0),
            lambda: log.read(Position(0, 0), 1.0),
            lambda: log.writer().append(b"key", b"value"),
            lambda: log.reader({0: 0}).poll(1.0),
        ]
        for act in acts:
            began = time.monotonic()
            with pytest.raises(LogUnavailable, match=address):
                act()
            assert time.monotonic() - began < 4
    finally:
        ports.release()


def test_a_broker_that_takes_connections_and_answers_nothing_is_unavailable_in_time(make_log: MakeLog, three_brokers: KafkaCluster) -> None:
    topic = _new_topic(three_brokers)
    log = make_log(three_brokers.bootstrap, topic)
    log.info(DEADLINE)
    for broker in range(3):
        three_brokers.pause(broker)
    try:
        for ask in (lambda: log.ends([0], 1.0), lambda: log.info(1.0)):
            began = time.monotonic()
            with pytest.raises(LogUnavailable):
                ask()
            assert time.monotonic() - began < 4
    finally:
        for broker in range(3):
            three_brokers.resume(broker)
    assert _eventually(lambda: log.ends([0], 2.0)) == {0: 0}


def test_a_wrong_password_is_refused_within_seconds_and_not_repeated(make_log: MakeLog, guarded_kafka: KafkaCluster) -> None:
    log = make_log(
        guarded_kafka.sasl_bootstrap, "topic", sasl_mechanism="SCRAM-SHA-256", sasl_username="alice", sasl_password="not-her-secret"
    )
    for act in (lambda: log.info(DEADLINE), lambda: log.writer().append(b"key", b"value"), lambda: log.reader({0: 0}).poll(DEADLINE)):
        began = time.monotonic()
        with pytest.raises(LogUnavailable, match="refused alice") as refusal:
            act()
        assert time.monotonic() - began < 5
        assert "not-her-secret" not in f"{refusal.value}{refusal.value.facts}{log.settings}{log.url}"


def test_the_right_password_lets_in(make_log: MakeLog, guarded_kafka: KafkaCluster) -> None:
    log = make_log(
        guarded_kafka.sasl_bootstrap,
        _new_topic(guarded_kafka),
        sasl_mechanism="SCRAM-SHA-256",
        sasl_username="alice",
        sasl_password="alice-secret",
    )
    with writing(log) as writer:
        position = writer.append(b"key", b"value").result(DEADLINE)
    assert read_all(log)[0][0].offset == position.offset
    assert "alice-secret" not in log.url


# ── the topic ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_topic_names_the_cure(make_log: MakeLog, kafka: Kafka) -> None:
    log = make_log(kafka.bootstrap, "nobody-made-me")
    acts: list[Callable[[], object]] = [
        lambda: log.info(5.0),
        lambda: log.ends([0], 5.0),
        lambda: log.writer().append(b"key", b"value"),
        lambda: log.reader({0: 0}).poll(5.0),
    ]
    for act in acts:
        began = time.monotonic()
        with pytest.raises(TopicMisconfigured, match="eventresults topic init"):
            act()
        assert time.monotonic() - began < 4


def test_create_topic_makes_one_that_passes_its_own_check(make_log: MakeLog, kafka: Kafka) -> None:
    topic = f"created-{time.time_ns()}"
    log = make_log(kafka.bootstrap, topic, create_topic=True, partitions=3)
    try:
        assert log.info(DEADLINE).partitions == 3
        assert [problem for problem in log.check_topic() if problem.severity == "error"] == []
        again = make_log(kafka.bootstrap, topic, create_topic=True, partitions=5)
        assert again.info(DEADLINE).partitions == 3
    finally:
        kafka.delete_topic(topic)


def test_check_names_what_a_foreign_topic_lacks(make_log: MakeLog, kafka: Kafka, make_topic: MakeTopic) -> None:
    topic = make_topic(cleanup_policy="compact", message_timestamp_type="CreateTime", max_message_bytes=1_000_000, retention_ms=60_000)
    log = make_log(kafka.bootstrap, topic)
    errors = {problem.setting for problem in log.check_topic() if problem.severity == "error"}
    assert errors == {"cleanup.policy", "message.timestamp.type", "max.message.bytes", "retention.ms"}


def test_both_clients_give_a_topic_the_same_id(kafka: Kafka, kafka_topic: str) -> None:
    with closing(KafkaLog(kafka.bootstrap, kafka_topic)) as one, closing(ConfluentLog(kafka.bootstrap, kafka_topic)) as other:
        assert one.info(DEADLINE) == other.info(DEADLINE)
        assert one.describe_topic() == other.describe_topic()


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_value_too_large_for_the_topic_fails_alone(make_log: MakeLog, kafka: Kafka, make_topic: MakeTopic, compression: str) -> None:
    log = make_log(kafka.bootstrap, make_topic(max_message_bytes=10_000), compression=compression)
    with writing(log) as writer:
        for _ in range(2):
            with pytest.raises(ValueTooLarge, match="max_value_bytes"):
                writer.append(b"key", os.urandom(20_000)).result(DEADLINE)
            writer.append(b"key", b"value").result(DEADLINE)
    assert [record.value for record in read_all(log)[0]] == [b"value"] * 2


def test_many_values_that_the_topic_takes_one_by_one_are_taken_together(make_log: MakeLog, kafka: Kafka, make_topic: MakeTopic) -> None:
    log = make_log(kafka.bootstrap, make_topic(max_message_bytes=10_000))
    with writing(log) as writer:
        futures = [writer.append(b"key", os.urandom(4_000)) for _ in range(50)]
        assert [future.result(DEADLINE).offset for future in futures] == list(range(50))


def test_a_topic_deleted_and_created_again_is_noticed(make_log: MakeLog, kafka: Kafka, make_topic: MakeTopic) -> None:
    # given a reader in the middle of a topic
    topic = make_topic()
    log = make_log(kafka.bootstrap, topic)
    with writing(log) as writer:
        for number in range(5):
            writer.append(b"key", b"old %d" % number).result(DEADLINE)
    before = log.info(DEADLINE)
    with reading(log, {0: 0}) as reader:
        read_on(reader, 5)
        # when the topic is made anew, with fewer records
        kafka.delete_topic(topic)
        kafka.create_topic(topic, 1, {"message.timestamp.type": "LogAppendTime"})
        newer = make_log(kafka.bootstrap, topic)
        with writing(newer) as writer:
            writer.append(b"key", b"new").result(DEADLINE)
        # then
        assert log.info(DEADLINE).log_id != before.log_id
        assert stale_of(reader)["partition"] == 0


def test_a_reader_notices_within_seconds_that_its_topic_is_another_of_the_same_name(
    make_log: MakeLog, kafka: Kafka, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    log = make_log(kafka.bootstrap, topic)
    with writing(log) as writer:
        writer.append(b"key", b"old").result(DEADLINE)
    with reading(log, {0: 0}) as reader:
        read_on(reader, 1)
        kafka.delete_topic(topic)
        kafka.create_topic(topic, 1, {"message.timestamp.type": "LogAppendTime"})
        newer = make_log(kafka.bootstrap, topic)
        with writing(newer) as writer:
            for number in range(5):
                writer.append(b"key", b"new %d" % number).result(DEADLINE)
        with pytest.raises(ViewStale, match=r"created again|is another log"):
            _poll_until_raised(reader)


def test_info_tells_of_partitions_that_were_added(log: BrokerLog, kafka: Kafka) -> None:
    assert log.info(DEADLINE).partitions == 1
    kafka.add_partitions(log.settings.topic, 2)
    assert _eventually(lambda: log.info(DEADLINE).partitions == 2)


def test_retention_passing_a_reader_in_the_middle_is_stale_not_a_jump(log: BrokerLog, kafka: Kafka) -> None:
    with writing(log) as writer:
        for number in range(10):
            writer.append(b"key", b"%d" % number).result(DEADLINE)
    kafka.delete_records(log.settings.topic, {0: 8})
    with reading(log, {0: 3}) as reader:
        facts = stale_of(reader)
    assert (facts["position"], facts["start"], facts["end"], facts["reason"]) == (3, 8, 10, "before-start")


def test_holes_of_transactions_are_stepped_over(log: BrokerLog, kafka: Kafka) -> None:
    # given a committed and an aborted transaction, whose markers take offsets
    with closing(KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=log.settings.topic)) as producer:
        producer.init_transactions()
        for value, end in ((b"committed", producer.commit_transaction), (b"aborted", producer.abort_transaction)):
            producer.begin_transaction()
            producer.send(log.settings.topic, value, key=b"key")
            producer.flush(timeout=DEADLINE)
            end()
    end = _eventually(lambda: (found := log.ends([0], DEADLINE)[0]) >= 4 and found)
    # when
    with reading(log, {0: 0}) as reader:
        values, position, deadline = [], 0, time.monotonic() + DEADLINE
        while position < end and time.monotonic() < deadline:
            for poll in reader.poll(0.5).values():
                values += [record.value for record in poll.records]
                position = poll.next_offset
        # then
        assert (values, position) == ([b"committed"], end)
    assert log.read(Position(0, end - 1), DEADLINE) is None


# ── brokers that fail under way ──────────────────────────────────────────────────────────────────────────────────────


def test_nothing_acknowledged_is_lost_when_the_broker_is_killed_and_started_again(make_log: MakeLog, three_brokers: KafkaCluster) -> None:
    topic = _new_topic(three_brokers, replication=1)
    log = make_log(three_brokers.bootstrap, topic, append_timeout=20.0)
    leader = three_brokers.leader(topic)
    with _appending(log) as appended:
        _wait_for(lambda: len(appended) > 200)
        three_brokers.kill(leader)
        time.sleep(0.5)
        three_brokers.start_broker(leader)
        count = len(appended)
        _wait_for(lambda: len(appended) > count + 200)
    _nothing_acknowledged_is_lost(log, appended)


def test_nothing_acknowledged_is_lost_when_one_of_three_brokers_is_killed(make_log: MakeLog, three_brokers: KafkaCluster) -> None:
    topic = _new_topic(three_brokers)
    log = make_log(three_brokers.bootstrap, topic, append_timeout=30.0)
    three_brokers.wait_until_in_sync(topic)
    leader = three_brokers.leader(topic)
    try:
        with _appending(log) as appended:
            _wait_for(lambda: len(appended) > 200)
            three_brokers.kill(leader)
            count = len(appended)
            _wait_for(lambda: any(future.done() and not future.exception() for _, future in appended[count + 100 :]))
        acknowledged = _nothing_acknowledged_is_lost(log, appended)
        assert acknowledged == len(appended), "the two brokers left should have taken them all"
    finally:
        three_brokers.start_broker(leader)


def test_the_end_is_asked_of_who_leads_a_partition_now(make_log: MakeLog, three_brokers: KafkaCluster) -> None:
    # Found by round kafka:495185: who led it before was asked again and again, for as long as it was there to refuse.
    topic = _new_topic(three_brokers)
    log = make_log(three_brokers.bootstrap, topic)
    for _ in range(3):
        leader = three_brokers.leader(topic)
        assert log.ends([0], DEADLINE) == {0: 0}
        # when
        while three_brokers.leader(topic) == leader:
            three_brokers.delete_topic(topic)
            three_brokers.create_topic(topic, 1, {"message.timestamp.type": "LogAppendTime"})
        # then
        assert log.ends([0], 8.0) == {0: 0}


def test_a_topic_created_again_after_an_election_is_written_and_read_on(make_log: MakeLog, three_brokers: KafkaCluster) -> None:
    # Found by round kafka:66172: the new topic counts its leaders from 0 again, and librdkafka believes no count lower than it has seen.
    topic = _new_topic(three_brokers)
    log = make_log(three_brokers.bootstrap, topic, append_timeout=5.0)
    with writing(log) as writer:
        # given
        first = writer.append(b"key", b"old").result(DEADLINE)
        assert log.read(first, DEADLINE)
        three_brokers.wait_until_in_sync(topic)
        leader = three_brokers.leader(topic)
        three_brokers.kill(leader)
        try:
            _eventually(lambda: writer.append(b"key", b"old").result(DEADLINE))
            assert _eventually(lambda: log.read(first, DEADLINE))
        finally:
            three_brokers.start_broker(leader)
        leader = three_brokers.leader(topic)
        # when
        while three_brokers.leader(topic) == leader:
            three_brokers.delete_topic(topic)
            three_brokers.create_topic(topic, 1, {"message.timestamp.type": "LogAppendTime"})
        # then
        position = _eventually(lambda: writer.append(b"key", b"new").result(DEADLINE))
        found = _eventually(lambda: log.read(position, DEADLINE))
        assert (position.offset, found.value) == (0, b"new")


def test_a_silent_broker_fills_the_buffer_and_appends_time_out(make_log: MakeLog, three_brokers: KafkaCluster) -> None:
    topic = _new_topic(three_brokers, replication=1)
    log = make_log(three_brokers.bootstrap, topic, append_timeout=2.0, max_in_flight=10)
    leader = three_brokers.leader(topic)
    writer = log.writer()
    _eventually(lambda: writer.append(b"key", b"first").result(DEADLINE))  # a broker that was silent just now may still be about to return
    three_brokers.pause(leader)
    try:
        # given
        futures = [writer.append(b"key", b"value") for _ in range(10)]
        assert not writer.flush(0.1)
        # when there is no room: it blocks until there is, and no longer than the append timeout
        began = time.monotonic()
        with contextlib.suppress(AppendTimeout):
            futures.append(writer.append(b"key", b"one more"))
        assert 1.0 < time.monotonic() - began < 3.0
        # then
        for future in futures:
            assert isinstance(future.exception(DEADLINE), AppendTimeout)
        # and there is room again, and closing does not wait for a broker that is silent
        last = _eventually(lambda: writer.append(b"key", b"last"))
        began = time.monotonic()
        writer.close()
        assert time.monotonic() - began < 6
        assert isinstance(last.exception(0), AppendTimeout | Closed)
    finally:
        three_brokers.resume(leader)


def test_a_writer_goes_on_after_a_broker_was_silent_for_longer_than_the_append_timeout(
    make_log: MakeLog, three_brokers: KafkaCluster
) -> None:
    topic = _new_topic(three_brokers, replication=1)
    log = make_log(three_brokers.bootstrap, topic, append_timeout=2.0, max_in_flight=10)
    leader = three_brokers.leader(topic)
    writer = log.writer()
    _eventually(lambda: writer.append(b"key", b"first").result(DEADLINE))  # a broker that was silent just now may still be about to return
    # given
    three_brokers.pause(leader)
    try:
        for future in [writer.append(b"key", b"value") for _ in range(10)]:
            assert isinstance(future.exception(DEADLINE), AppendTimeout)
    # when
    finally:
        three_brokers.resume(leader)
    # then
    assert _eventually(lambda: writer.append(b"key", b"after").result(DEADLINE))


def test_a_full_buffer_gives_way_as_the_brokers_take_records(make_log: MakeLog, kafka: Kafka, kafka_topic: str) -> None:
    log = make_log(kafka.bootstrap, kafka_topic, max_in_flight=20, max_in_flight_bytes=50_000)
    with writing(log) as writer:
        futures = [writer.append(b"key", b"x" * 5_000) for _ in range(500)]
        assert writer.flush(DEADLINE)
    assert [future.result(0).offset for future in futures] == list(range(500))


def test_a_reader_goes_on_after_the_brokers_come_back(make_log: MakeLog, three_brokers: KafkaCluster) -> None:
    topic = _new_topic(three_brokers, replication=1)
    log = make_log(three_brokers.bootstrap, topic)
    leader = three_brokers.leader(topic)
    with writing(log) as writer, reading(log, {0: 0}) as reader:
        writer.append(b"key", b"before").result(DEADLINE)
        read_on(reader, 1)
        three_brokers.kill(leader)
        _polls_quietly(reader, 1.0)
        three_brokers.start_broker(leader)
        writer.append(b"key", b"after").result(DEADLINE)
        assert [record.value for record in _read_through_outages(reader, 1)] == [b"after"]


# ── forks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_forked_child_uses_the_log_anew_and_disturbs_nobody(client: type[BrokerLog], kafka: Kafka, kafka_topic: str) -> None:
    script = f"""
        import os, sys
        from {client.__module__} import {client.__name__} as Log
        from eventresults.errors import Closed
        log = Log({kafka.bootstrap!r}, {kafka_topic!r})
        writer, reader = log.writer(), log.reader({{0: 0}})
        writer.append(b"key", b"parent").result(20)
        reader.poll(20)
        log.ends([0], 20)
        child = os.fork()
        if child == 0:
            for act in (lambda: writer.append(b"key", b"child"), lambda: reader.poll(1)):
                try:
                    act()
                    os._exit(1)
                except Closed:
                    pass
            assert log.ends([0], 20) == {{0: 1}}
            own = log.writer()
            own.append(b"key", b"child").result(20)
            own.close()
            log.close()
            sys.exit(7)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        writer.append(b"key", b"parent again").result(20)
        print(status, log.ends([0], 20), [record.value for record in reader.poll(20)[0].records][:1])
        writer.close(); reader.close(); log.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=_REPOSITORY, capture_output=True, text=True, timeout=90, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("7 {0: 3} [b'child']", 0), done.stderr


def test_a_child_forked_while_addresses_were_looked_up_can_use_the_log(client: type[BrokerLog], kafka: Kafka, kafka_topic: str) -> None:
    # What hung once in many runs: a thread of librdkafka was in getaddrinfo, with a lock of glibc, when its process forked.
    script = f"""
        import os, signal, socket, sys, threading
        from {client.__module__} import {client.__name__} as Log
        log = Log({kafka.bootstrap!r}, {kafka_topic!r})
        log.ends([0], 20)
        def look_up():
            while True:
                socket.getaddrinfo(b"127.0.0.1", 1, flags=socket.AI_ADDRCONFIG)
        for _ in range(4):
            threading.Thread(target=look_up, daemon=True).start()
        children = []
        for number in range(5):
            child = os.fork()
            if child == 0:
                signal.alarm(40)
                writer, reader = log.writer(), log.reader({{0: 0}})
                writer.append(b"key", b"child").result(20)
                assert reader.poll(20)[0].records
                assert log.ends([0], 20)[0] > 0
                writer.close(); reader.close(); log.close()
                sys.exit(7)
            children.append(child)
        print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children], flush=True)
        os._exit(0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=_REPOSITORY, capture_output=True, text=True, timeout=90, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("[7, 7, 7, 7, 7]", 0), done.stderr


# ── how the tests do it ──────────────────────────────────────────────────────────────────────────────────────────────


def _new_topic(kafka: Kafka, **options: Any) -> str:
    name = f"logs-{time.time_ns()}"
    kafka.create_topic(name, 1, {"message.timestamp.type": "LogAppendTime"}, **options)
    return name


def _eventually(question: Callable[[], Any]) -> Any:
    """The first answer that is neither false nor an error of ours."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            answer = question()
        except LogError:
            if time.monotonic() >= deadline:
                raise
            continue
        if answer or time.monotonic() >= deadline:
            return answer
        time.sleep(0.05)


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 2 * DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def _appending(log: Log) -> Iterator[list[tuple[bytes, Future[Position]]]]:
    """A thread that appends numbers to one key, about 500 a second, as long as the block lasts; then all is waited for."""
    appended: list[tuple[bytes, Future[Position]]] = []
    stop = threading.Event()

    def append() -> None:
        number = 0
        while not stop.wait(0.002):
            value = b"%d" % number
            appended.append((value, writer.append(b"key", value)))
            number += 1

    with writing(log) as writer:
        thread = threading.Thread(target=append, name="test-appender")
        thread.start()
        try:
            yield appended
        finally:
            stop.set()
            thread.join()
        for _, future in appended:
            assert isinstance(future.exception(2 * DEADLINE), AppendTimeout | LogUnavailable | None)


def _nothing_acknowledged_is_lost(log: Log, appended: list[tuple[bytes, Future[Position]]]) -> int:
    records = _eventually(lambda: read_all(log))[0]
    held = {record.offset: record.value for record in records}
    acknowledged = {future.result(0).offset: value for value, future in appended if future.exception(0) is None}
    assert {offset: held.get(offset) for offset in acknowledged} == acknowledged
    order = [int(value) for value in held.values() if value]
    assert order == sorted(set(order)), "records are doubled or out of order"
    return len(acknowledged)


def _polls_quietly(reader: EventReader, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            assert reader.poll(0.2) == {}
        except LogUnavailable:
            time.sleep(0.1)


def _poll_until_raised(reader: EventReader) -> None:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        reader.poll(0.5)


def _read_through_outages(reader: EventReader, count: int) -> list[Any]:
    records: list[Any] = []
    deadline = time.monotonic() + DEADLINE
    while len(records) < count and time.monotonic() < deadline:
        try:
            records += [record for poll in reader.poll(0.5).values() for record in poll.records]
        except LogUnavailable:
            time.sleep(0.1)
    return records
