"""The harness that runs a real Kafka for the other tests keeps its promises."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer as ConfluentConsumer
from confluent_kafka import Producer as ConfluentProducer
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, OffsetOutOfRangeError, TopicAlreadyExistsError

from tests.support.kafka import (
    BorrowedKafka,
    Kafka,
    KafkaCluster,
    KafkaNotInstallableError,
    KafkaStartError,
    availability,
    require_kafka,
)
from tests.support.kafka.base import admin_client
from tests.support.kafka.polling import poll
from tests.support.kafka.ports import ReservedPorts
from tests.support.kafka.runtime import install

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kafka.fixtures import MakeTopic

pytest_plugins = ("tests.support.kafka.fixtures",)

pytestmark = pytest.mark.kafka

_REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def own_kafka() -> Iterator[KafkaCluster]:
    """One broker that the test may end."""
    require_kafka()
    with KafkaCluster() as cluster:
        yield cluster


# ── reading and writing ──────────────────────────────────────────────────────────────────────────────────────────────


def test_kafka_python_reads_what_it_wrote(kafka: Kafka, kafka_topic: str) -> None:
    # when
    append(kafka.bootstrap, kafka_topic, b"one", b"two")

    # then
    assert values(kafka.bootstrap, kafka_topic, count=2) == [b"one", b"two"]


def test_confluent_kafka_reads_what_it_wrote(kafka: Kafka, kafka_topic: str) -> None:
    # given
    producer = ConfluentProducer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True})
    consumer = ConfluentConsumer({"bootstrap.servers": kafka.bootstrap, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"})
    consumer.subscribe([kafka_topic])

    # when
    producer.produce(kafka_topic, b"one")
    assert producer.flush(10) == 0

    # then
    try:
        message = poll(lambda: consumer.poll(0.5), timeout=15, what="the record")
        assert message.value() == b"one"
    finally:
        consumer.close()


def test_a_topic_of_the_fixture_is_stamped_by_the_broker(kafka: Kafka, kafka_topic: str) -> None:
    # when
    written = append(kafka.bootstrap, kafka_topic, b"one", timestamp_ms=1)

    # then
    assert written.timestamp > 1_000_000


def test_a_topic_of_the_fixture_takes_a_record_of_15_mib(kafka: Kafka, kafka_topic: str) -> None:
    # given
    large = bytes(15 * 1024 * 1024)

    # when
    append(kafka.bootstrap, kafka_topic, large)

    # then
    assert values(kafka.bootstrap, kafka_topic, count=1) == [large]


def test_topics_are_made_with_the_partitions_and_configs_asked_for(kafka: Kafka, make_topic: MakeTopic) -> None:
    # when
    topic = make_topic(partitions=3, cleanup_policy="compact")

    # then
    assert partitions_of(kafka, topic) == {0, 1, 2}
    assert config_of(kafka, topic, "cleanup.policy") == "compact"
    assert config_of(kafka, topic, "message.timestamp.type") == "LogAppendTime"


def test_the_url_of_a_topic_names_the_brokers_and_the_topic(kafka: Kafka) -> None:
    assert kafka.url("orders") == f"kafka://{kafka.bootstrap}/orders"


# ── administration ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_topic_can_be_deleted_and_created_again_at_once(kafka: Kafka, kafka_topic: str) -> None:
    # given
    append(kafka.bootstrap, kafka_topic, b"old")

    # when
    kafka.delete_topic(kafka_topic)
    kafka.create_topic(kafka_topic)

    # then
    assert offsets(kafka, kafka_topic) == (0, 0)


def test_deleting_a_topic_that_is_not_there_does_nothing(kafka: Kafka) -> None:
    kafka.delete_topic("never-made")


def test_creating_a_topic_twice_is_an_error(kafka: Kafka, kafka_topic: str) -> None:
    with pytest.raises(TopicAlreadyExistsError):
        kafka.create_topic(kafka_topic)


def test_deleted_records_are_gone_and_the_others_keep_their_offsets(kafka: Kafka, kafka_topic: str) -> None:
    # given
    append(kafka.bootstrap, kafka_topic, b"one", b"two", b"three")

    # when
    kafka.delete_records(kafka_topic, {0: 2})

    # then
    assert offsets(kafka, kafka_topic) == (2, 3)
    assert values(kafka.bootstrap, kafka_topic, count=1) == [b"three"]


def test_records_beyond_the_end_cannot_be_deleted(kafka: Kafka, kafka_topic: str) -> None:
    with pytest.raises(OffsetOutOfRangeError):
        kafka.delete_records(kafka_topic, {0: 1})


def test_partitions_can_be_added(kafka: Kafka, kafka_topic: str) -> None:
    # when
    kafka.add_partitions(kafka_topic, 4)

    # then
    assert partitions_of(kafka, kafka_topic) == {0, 1, 2, 3}


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_restart_keeps_the_ports_and_the_data(own_kafka: KafkaCluster) -> None:
    # given
    own_kafka.create_topic("orders")
    append(own_kafka.bootstrap, "orders", b"one")
    before = own_kafka.bootstrap

    # when
    own_kafka.restart()

    # then
    assert own_kafka.bootstrap == before
    assert values(own_kafka.bootstrap, "orders", count=1) == [b"one"]


def test_a_killed_broker_comes_back_with_its_data(own_kafka: KafkaCluster) -> None:
    # given
    own_kafka.create_topic("orders")
    append(own_kafka.bootstrap, "orders", b"one")

    # when
    own_kafka.kill(0)
    assert not own_kafka.running(0)
    own_kafka.start_broker(0)

    # then
    assert values(own_kafka.bootstrap, "orders", count=1) == [b"one"]


def test_a_paused_broker_answers_nothing_until_it_is_resumed(own_kafka: KafkaCluster) -> None:
    # given
    own_kafka.create_topic("orders")

    # when
    own_kafka.pause(0)

    # then
    with pytest.raises(KafkaError):
        admin_client(own_kafka.bootstrap, timeout=0.5)

    # when
    own_kafka.resume(0)

    # then
    append(own_kafka.bootstrap, "orders", b"one")


def test_a_paused_broker_can_be_stopped_and_leaves_nothing_behind() -> None:
    # given
    require_kafka()
    cluster = KafkaCluster()
    cluster.start()
    folder = cluster.folder
    cluster.pause(0)

    # when
    cluster.close()

    # then
    assert not folder.exists()
    with pytest.raises(RuntimeError, match="not been started"):
        _ = cluster.bootstrap


def test_a_broker_outlives_the_thread_that_started_it(own_kafka: KafkaCluster) -> None:
    # given
    own_kafka.stop()

    # when
    thread = threading.Thread(target=own_kafka.start)
    thread.start()
    thread.join(60)

    # then
    own_kafka.create_topic("orders")
    assert own_kafka.running(0)


@pytest.mark.slow
def test_three_brokers_go_on_when_the_leader_is_killed() -> None:
    # given
    require_kafka()
    with KafkaCluster(brokers=3) as kafka:
        kafka.create_topic("orders")
        assert config_of(kafka, "orders", "min.insync.replicas") == "2"
        append(kafka.bootstrap, "orders", b"one")
        first = kafka.leader("orders")

        # when
        kafka.kill(first)
        append(kafka.bootstrap, "orders", b"two")

        # then
        assert kafka.leader("orders") != first
        assert values(kafka.bootstrap, "orders", count=2) == [b"one", b"two"]

        # when the first is back, another may go
        kafka.start_broker(first)
        kafka.wait_until_in_sync("orders")
        kafka.kill(kafka.leader("orders"))
        append(kafka.bootstrap, "orders", b"three")

        # then
        assert values(kafka.bootstrap, "orders", count=3) == [b"one", b"two", b"three"]


def test_a_broker_that_cannot_start_says_why_in_the_words_of_its_log() -> None:
    # given
    require_kafka()
    cluster = KafkaCluster(settings={"num.io.threads": "-3"})

    # when
    with pytest.raises(KafkaStartError) as raised, cluster:
        pass

    # then
    assert raised.value.node == 0
    assert "num.io.threads" in str(raised.value)


# ── logins ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_sasl_listener_lets_in_the_right_password_only() -> None:
    # given
    require_kafka()
    with KafkaCluster(sasl=True, user="bob", password="right") as kafka:
        kafka.create_topic("orders")

        # when
        append(kafka.sasl_bootstrap, "orders", b"one", **login("bob", "right"))

        # then
        assert values(kafka.sasl_bootstrap, "orders", count=1, **login("bob", "right")) == [b"one"]
        assert values(kafka.bootstrap, "orders", count=1) == [b"one"]
        with pytest.raises(KafkaError):
            admin_client(kafka.sasl_bootstrap, timeout=1, **login("bob", "wrong"))
        assert "Authentication failed" in confluent_complaint(kafka.sasl_bootstrap, "bob", "wrong")
        assert offsets(kafka, "orders") == (0, 1)


def test_there_is_no_sasl_address_without_sasl(own_kafka: KafkaCluster) -> None:
    with pytest.raises(RuntimeError, match="sasl=True"):
        _ = own_kafka.sasl_bootstrap


# ── processes, ports ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_brokers_die_with_the_process_that_started_them(how: signal.Signals, tmp_path: Path) -> None:
    # given
    require_kafka()
    program = (
        "import sys, time; from pathlib import Path; from tests.support.kafka import KafkaCluster; "
        "k = KafkaCluster(folder=Path(sys.argv[1])); k.start(); print(k._brokers[0]._child.pid, flush=True); time.sleep(100)"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, str(tmp_path)],
        cwd=_REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        broker = int(starter.stdout.readline())
        assert alive(broker)

        # when
        starter.send_signal(how)
        starter.wait(20)

    # then
    poll(lambda: not alive(broker), timeout=10, what="the broker to die")


def test_a_forked_child_that_exits_leaves_the_brokers_alone() -> None:
    # given
    require_kafka()
    program = """
import os, sys
from tests.support.kafka import KafkaCluster
with KafkaCluster() as kafka:
    child = os.fork()
    if child == 0:
        sys.exit()  # by way of the atexit handlers it has inherited
    os.waitpid(child, 0)
    kafka.create_topic("orders")
    print(kafka.running(0), kafka.folder.exists())
"""

    # when
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=_REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )

    # then
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_a_reserved_port_is_given_to_nobody_else() -> None:
    # given
    ports = ReservedPorts(1)

    # when
    others = ReservedPorts(200)

    # then
    try:
        assert not set(ports.numbers) & set(others.numbers)
    finally:
        ports.release()
        others.release()


# ── where there is no Kafka ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def _no_kafka(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fail() -> Path:
        raise KafkaNotInstallableError("there is no java: install one")

    monkeypatch.setattr(availability, "install", fail)
    availability.kafka_unavailable_reason.cache_clear()
    yield
    availability.kafka_unavailable_reason.cache_clear()


@pytest.mark.usefixtures("_no_kafka")
@pytest.mark.parametrize("ci", ["", "false", "0"])
def test_without_kafka_a_test_is_skipped_at_the_desk(monkeypatch: pytest.MonkeyPatch, ci: str) -> None:
    # given
    monkeypatch.setenv("CI", ci)

    # when / then
    with pytest.raises(pytest.skip.Exception, match="there is no java"):
        require_kafka()


@pytest.mark.usefixtures("_no_kafka")
def test_without_kafka_a_test_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    monkeypatch.setenv("CI", "true")

    # when / then
    with pytest.raises(pytest.fail.Exception, match="there is no java"):
        require_kafka()


def test_without_maven_and_jars_the_reason_names_maven(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # given
    (tmp_path / "java").write_text("#!/bin/sh\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("EVENTRESULTS_KAFKA_LIBS", str(tmp_path / "libs"))

    # when / then
    with pytest.raises(KafkaNotInstallableError, match="mvn"):
        install()


@pytest.mark.parametrize("method", ["kill", "pause", "resume", "start_broker"])
def test_a_borrowed_kafka_skips_the_test_that_would_end_it(method: str) -> None:
    # given
    borrowed = BorrowedKafka("127.0.0.1:1", because="is borrowed")

    # when / then
    with pytest.raises(pytest.skip.Exception, match="is borrowed"):
        getattr(borrowed, method)(0)
    with pytest.raises(pytest.skip.Exception, match="is borrowed"):
        borrowed.restart()


def test_a_borrowed_kafka_makes_and_deletes_topics(kafka: Kafka) -> None:
    # given
    borrowed = BorrowedKafka(kafka.bootstrap, because="is borrowed")

    # when
    borrowed.create_topic("borrowed-orders", partitions=2)

    # then
    assert partitions_of(kafka, "borrowed-orders") == {0, 1}
    borrowed.delete_topic("borrowed-orders")


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def append(bootstrap: str, topic: str, *records: bytes, timestamp_ms: int | None = None, **options: Any) -> Any:
    """Write the records and wait for all replicas; return the last one's metadata."""
    producer = KafkaProducer(
        bootstrap_servers=bootstrap.split(","),
        acks="all",
        max_request_size=16 * 1024 * 1024,
        max_block_ms=20_000,
        **options,
    )
    try:
        sent = [producer.send(topic, each, timestamp_ms=timestamp_ms) for each in records]
        return [each.get(timeout=30) for each in sent][-1]
    finally:
        producer.close(5)


def values(bootstrap: str, topic: str, *, count: int, **options: Any) -> list[bytes]:
    """Read partition 0 from its beginning until there are `count` records."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap.split(","),
        enable_auto_commit=False,
        max_partition_fetch_bytes=16 * 1024 * 1024,
        **options,
    )
    partition = TopicPartition(topic, 0)
    found: list[bytes] = []

    def enough() -> bool:
        found.extend(record.value for records in consumer.poll(200).values() for record in records)
        return len(found) >= count

    try:
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        poll(enough, timeout=30, what=f"{count} records of {topic}", every=0.0)
        return found
    finally:
        consumer.close(autocommit=False)


def offsets(kafka: Kafka, topic: str) -> tuple[int, int]:
    """Return the first offset of partition 0, and its end."""
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap.split(","))
    partition = TopicPartition(topic, 0)
    try:
        return consumer.beginning_offsets([partition])[partition], consumer.end_offsets([partition])[partition]
    finally:
        consumer.close(autocommit=False)


def partitions_of(kafka: Kafka, topic: str) -> set[int]:
    with admin_client(kafka.bootstrap, timeout=10) as admin:
        (found,) = admin.describe_topics([topic])
    return {each["partition_index"] for each in found["partitions"]}


def config_of(kafka: Kafka, topic: str, name: str) -> str:
    with admin_client(kafka.bootstrap, timeout=10) as admin:
        found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
    return str(found["topic"][topic][name]["value"])


def login(user: str, password: str) -> dict[str, Any]:
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": user,
        "sasl_plain_password": password,
    }


def confluent_complaint(bootstrap: str, user: str, password: str) -> str:
    """Log in by confluent-kafka and return the first error it reports."""
    errors: list[str] = []
    producer = ConfluentProducer(
        {
            "bootstrap.servers": bootstrap,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-256",
            "sasl.username": user,
            "sasl.password": password,
            "error_cb": lambda error: errors.append(error.str()),
        }
    )

    def complaint() -> str | None:
        producer.poll(0.1)
        return errors[0] if errors else None

    return poll(complaint, timeout=15, what="an error")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
