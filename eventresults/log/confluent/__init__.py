"""A log in a Kafka topic, by way of confluent-kafka (librdkafka): the same contract, several times the speed."""

from eventresults.log.confluent.log import ConfluentLog

__all__ = ["ConfluentLog"]
