"""The client libraries alone, given ready bytes: what no recorder can be faster than."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence


def append_kafka_python(bootstrap: str, topic: str, records: Sequence[tuple[bytes, bytes]]) -> float:
    """Records per second by kafka-python, idempotent, acks=all, acknowledgements awaited at the end."""
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=5, batch_size=128 * 1024)
    producer.send(topic, key=b"warm-up", value=b"{}").get(timeout=30)
    begun = time.perf_counter()
    for key, value in records:
        producer.send(topic, key=key, value=value)
    producer.flush(timeout=120)
    seconds = time.perf_counter() - begun
    producer.close()
    return len(records) / seconds


def append_confluent(bootstrap: str, topic: str, records: Sequence[tuple[bytes, bytes]]) -> float:
    """Records per second by confluent-kafka, idempotent, acks=all, acknowledgements awaited at the end."""
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

    begun = time.perf_counter()
    for number, (key, value) in enumerate(records):
        producer.produce(topic, key=key, value=value, on_delivery=delivered)
        if not number % 1000:
            producer.poll(0)
    assert not producer.flush(120)
    assert acknowledged == len(records)
    return len(records) / (time.perf_counter() - begun)


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
