"""What is to be reached, by the name of the figure. A figure without a goal is shown without one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Goal(Protocol):
    """What a figure is to be."""

    def met(self, figure: float) -> bool:
        """Whether it is."""


@dataclass(frozen=True)
class AtLeast:
    """The more, the better."""

    figure: float

    def met(self, figure: float) -> bool:
        return figure >= self.figure

    def __str__(self) -> str:
        return f"≥ {self.figure:,g}"


@dataclass(frozen=True)
class AtMost:
    """The less, the better."""

    figure: float

    def met(self, figure: float) -> bool:
        return figure <= self.figure

    def __str__(self) -> str:
        return f"≤ {self.figure:,g}"


#: In the order of the report. Ratios to peers are of the clock's time; those of the processor's stand beside, for where the machine is
#: shared they are the ones that do not depend on who else is there.
GOALS: dict[str, Goal] = {
    "fold from Kafka, confluent, events/s": AtLeast(150_000),
    "fold from Kafka, confluent, events per CPU second": AtLeast(100_000),
    "fold from Kafka, confluent ÷ Bytewax": AtLeast(2),
    "fold from Kafka, confluent ÷ Bytewax, per CPU second": AtLeast(2),
    "fold from Kafka, confluent ÷ Kafka Streams (changelog on)": AtLeast(3),
    "fold from Kafka, confluent ÷ Kafka Streams (changelog on), per CPU second": AtLeast(3),
    "fold from Kafka, confluent ÷ Kafka Streams (changelog off)": AtLeast(3),
    "fold from Kafka, confluent ÷ Kafka Streams (changelog off), per CPU second": AtLeast(3),
    "fold from Kafka, kafka-python ÷ raw kafka-python reading": AtLeast(0.6),
    "fold from SQLite, events/s": AtLeast(150_000),
    "rebuild of a view, events/s": AtLeast(150_000),
    "two projectors ÷ one, four partitions": AtLeast(1.8),
    "append, confluent, events/s": AtLeast(65_000),
    "append, confluent ÷ raw confluent": AtLeast(0.45),
    "append, kafka-python ÷ raw kafka-python": AtLeast(0.6),
    "append → callback at 1,000/s, confluent, p50 ms": AtMost(1.0),
    "append → callback at 1,000/s, confluent, p99 ms": AtMost(6.0),
    "append → callback at 1,000/s, confluent, p50 ÷ raw append → read": AtMost(1.3),
    "append → callback at 50,000/s, confluent, p99 ms": AtMost(20.0),
    "state of a finished task, in the owner, /s": AtLeast(100_000),
    "state of a finished task, in the owner ÷ Celery + Redis": AtLeast(15),
    "state from another process, one thread ÷ Celery + Redis": AtLeast(1),
    "state from another process, 16 threads ÷ Celery + Redis (one thread)": AtLeast(3),
    "read_many of 1,000 ids from another process, ids/s": AtLeast(100_000),
    "exists() of unknown ids, freshness applied, /s": AtLeast(100_000),
    "pending results, bytes each": AtMost(1_000),
    "pending results, resolved /s": AtLeast(100_000),
    "pending results, objects left for each": AtMost(0.1),
    "fold of the last 100,000 tasks: cost, grown view ÷ small": AtMost(1.3),
    "state of the latest 50,000 tasks: cost, grown view ÷ small": AtMost(1.5),
    "state of a random task: cost, grown view ÷ small": AtMost(2.5),
    "verified against the signed checkpoints, SQLite, events/s": AtLeast(200_000),
    "import eventresults, ms": AtMost(150),
    "eventresults --help, ms": AtMost(300),
}
