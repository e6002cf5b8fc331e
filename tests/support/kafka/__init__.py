"""A real Apache Kafka for the tests: fetched by Maven, run as child processes, gone when the tests are.

    with KafkaCluster(brokers=3) as kafka:
        kafka.create_topic("orders", partitions=2)
        kafka.kill(kafka.leader("orders"))

`base` is what a test may ask of any Kafka, `cluster` runs one, `borrowed` uses one that is running already,
`fixtures` are the pytest fixtures. `python -m tests.support.kafka --help` for use by hand.
"""

from tests.support.kafka.availability import kafka_unavailable_reason, require_kafka
from tests.support.kafka.base import Kafka
from tests.support.kafka.borrowed import BorrowedKafka
from tests.support.kafka.cluster import KafkaCluster
from tests.support.kafka.errors import KafkaHarnessError, KafkaNotInstallableError, KafkaStartError

__all__ = [
    "BorrowedKafka",
    "Kafka",
    "KafkaCluster",
    "KafkaHarnessError",
    "KafkaNotInstallableError",
    "KafkaStartError",
    "kafka_unavailable_reason",
    "require_kafka",
]
