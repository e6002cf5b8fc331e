"""The client libraries alone, given ready bytes: what no recorder can be faster than."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence

from benchmarks.pace import paced


def produce(bootstrap: str, topic: str, records: Sequence[tuple[bytes, bytes]]) -> None:
    """As fast as can be, placed as Java's clients place them; returns when the topic has all."""
    from confluent_kafka import Producer

    settings = {"bootstrap.servers": bootstrap, "partitioner": "murmur2", "linger.ms": 20, "enable.idempotence": True, "log_level": 2}
    producer = Producer({**settings, "queue.buffering.max.messages": 10_000_000})
    for key, value in records:
        producer.produce(topic, value, key)
    assert not producer.flush(120)


def read_kafka_python(bootstrap: str, topic: str, count: int) -> float:
    """Records per second read by kafka-python from the topic's one partition, and thrown away."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        max_poll_records=5_000,
        fetch_max_bytes=52_428_800,
        max_partition_fetch_bytes=8 * 2**20,
    )
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    begun, left = 0.0, count
    while left > 0:
        polled = consumer.poll(timeout_ms=5_000)
        begun = begun or time.perf_counter()
        left -= sum(map(len, polled.values()))
    seconds = time.perf_counter() - begun
    consumer.close()
    return count / seconds


def read_confluent(bootstrap: str, topic: str, partitions: int, count: int) -> float:
    """Records per second read by confluent-kafka from all of the topic, and thrown away."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    begun, left = 0.0, count
    while left > 0:
        polled = consumer.consume(5_000, 1)
        begun = begun or time.perf_counter()
        left -= len(polled)
    seconds = time.perf_counter() - begun
    consumer.close()
    return count / seconds


def append_kafka_python(bootstrap: str, topic: str, records: Sequence[tuple[bytes, bytes]]) -> tuple[float, float]:
    """Records per second, and per second of the processor, by kafka-python, idempotent, acks=all, acknowledgements awaited at the end."""
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=5, batch_size=1_000_000)
    producer.send(topic, key=b"warm-up", value=b"{}").get(timeout=30)
    begun, begun_cpu = time.perf_counter(), time.process_time()
    for key, value in records:
        producer.send(topic, key=key, value=value)
    producer.flush(timeout=120)
    wall, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
    producer.close()
    return len(records) / wall, len(records) / cpu


def append_confluent(bootstrap: str, topic: str, records: Sequence[tuple[bytes, bytes]]) -> tuple[float, float]:
    """Records per second, and per second of the processor, by confluent-kafka, idempotent, acks=all, acknowledgements awaited."""
    from confluent_kafka import Producer

    settings = {"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "partitioner": "murmur2"}
    producer = Producer({**settings, "queue.buffering.max.messages": len(records) + 10, "linger.ms": 5})
    producer.produce(topic, key=b"warm-up", value=b"{}")
    producer.flush(30)
    acknowledged = 0

    def delivered(error: object, _: object) -> None:
        # Whoever wants to know what became of a record pays for this call.
        nonlocal acknowledged
        assert error is None
        acknowledged += 1

    begun, begun_cpu = time.perf_counter(), time.process_time()
    for number, (key, value) in enumerate(records):
        producer.produce(topic, key=key, value=value, on_delivery=delivered)
        if not number % 1000:
            producer.poll(0)
    assert not producer.flush(120)
    assert acknowledged == len(records)
    wall, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
    return len(records) / wall, len(records) / cpu


def waited_for_confluent(bootstrap: str, topic: str, count: int) -> float:
    """Records per second by confluent-kafka, each waited for before the next."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 0})
    producer.produce(topic, key=b"warm-up", value=b"{}")
    producer.flush(30)
    begun = time.perf_counter()
    for _ in range(count):
        producer.produce(topic, key=b"key", value=b"{}")
        producer.flush(30)
    return count / (time.perf_counter() - begun)


def waited_for_kafka_python(bootstrap: str, topic: str, count: int) -> float:
    """Records per second by kafka-python, each waited for before the next."""
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    producer.send(topic, key=b"warm-up", value=b"{}").get(timeout=30)
    begun = time.perf_counter()
    for _ in range(count):
        producer.send(topic, key=b"key", value=b"{}").get(timeout=30)
    seconds = time.perf_counter() - begun
    producer.close()
    return count / seconds


def asked_for_the_end(bootstrap: str, topic: str, count: int) -> float:
    """Median microseconds of confluent-kafka's question where a partition ends."""
    from confluent_kafka import OFFSET_END, Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False})
    took = []
    for _ in range(count):
        begun = time.perf_counter()
        consumer.offsets_for_times([TopicPartition(topic, 0, OFFSET_END)], timeout=10)
        took.append(time.perf_counter() - begun)
    consumer.close()
    return statistics.median(took) * 1e6


def asked_for_the_end_kafka_python(bootstrap: str, topic: str, count: int) -> float:
    """Median microseconds of the same question by kafka-python."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    took = []
    for _ in range(count):
        begun = time.perf_counter()
        consumer.end_offsets([TopicPartition(topic, 0)])
        took.append(time.perf_counter() - begun)
    consumer.close()
    return statistics.median(took) * 1e6


def latency_confluent(bootstrap: str, topic: str, per_second: int, lasts: float) -> list[float]:
    """Seconds from each append, at this pace for so many seconds, to its being read by a consumer in another thread."""
    from confluent_kafka import Consumer, Producer, TopicPartition

    count = int(per_second * lasts)
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 0})
    producer.produce(topic, key=b"warm-up", value=b"{}")
    producer.flush(30)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False, "fetch.wait.max.ms": 100})
    consumer.assign([TopicPartition(topic, 0, 0)])
    while (warm_up := consumer.poll(5)) is None or warm_up.error():
        pass
    appended, seen = [0.0] * count, [0.0] * count

    def read() -> None:
        for number in range(count):
            while consumer.poll(1) is None:
                pass
            seen[number] = time.perf_counter()

    reading = threading.Thread(target=read, name="bench-reader")
    reading.start()
    for number in paced(per_second, count):
        appended[number] = time.perf_counter()
        producer.produce(topic, key=b"key", value=b"x" * 300)
        producer.poll(0)
    producer.flush(30)
    reading.join(60)
    consumer.close()
    return [after - before for before, after in zip(appended, seen, strict=True)]
