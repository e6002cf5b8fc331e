"""A log in a Kafka topic, by way of kafka-python: no compiled library needed."""

from eventresults.log.kafka.log import KafkaLog

__all__ = ["KafkaLog"]
