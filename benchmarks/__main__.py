"""`python -m benchmarks [--tasks N] [--rounds N] [--no-kafka]`: print the machine's facts, and each figure beside its goal."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import eventresults
from benchmarks import audit, measures, raw
from benchmarks.machine import facts as machine_facts
from benchmarks.work import facts
from tests.support.kafka import KafkaCluster

CLIENTS = ("kafka-python", "confluent")


class Table:
    """Figures as they come."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def row(self, what: str, figure: str, goal: str = "") -> None:
        """Print one."""
        print(f"{what:<62} {figure:>22}  {goal}", flush=True)

    def compare(self, ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[float, float]:
        """Medians of both, measured in turn."""
        pairs = [(ours(), theirs()) for _ in range(self.rounds)]
        return statistics.median(one for one, _ in pairs), statistics.median(other for _, other in pairs)

    def median(self, measure: Callable[[], float]) -> float:
        """The median of several rounds."""
        return statistics.median(measure() for _ in range(self.rounds))


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for one measurement."""
    with tempfile.TemporaryDirectory(prefix="eventresults-bench-") as path:
        yield Path(path)


def embedded(table: Table, tasks: int) -> None:
    """What needs no broker."""
    with folder() as home:
        url = f"sqlite:///{home}/events.db"
        rates = []
        for number in range(table.rounds):
            (home / str(number)).mkdir()
            rates.append(measures.fold(url, home / str(number), tasks))
        table.row(f"fold from SQLite, {3 * tasks:,} events", f"{statistics.median(rates):,.0f} events/s", "≥ 60,000")

        with eventresults.connect(url) as tracker:
            signings = []
            for number in range(table.rounds):
                (home / f"audit-{number}").mkdir()
                signings.append(audit.sign_and_verify(tracker.log, home / f"audit-{number}"))
        signed, verified = (statistics.median(rates) for rates in zip(*signings, strict=True))
        table.row("signed by the notary, SQLite", f"{signed:,.0f} events/s")
        table.row("verified against the signed checkpoints, SQLite", f"{verified:,.0f} events/s", "≥ 200,000")

        with eventresults.connect(url, view=f"{home}/0/view") as tracker:
            ids = [meta.task_id for meta in tracker.tasks(state="SUCCESS", limit=min(tasks, 20_000))]
            table.row(
                "AsyncResult(id).state, finished, in the owner",
                f"{table.median(lambda: measures.state_of_finished(tracker, ids)):,.0f} /s",
                "≥ 60,000",
            )
            table.row(
                "read of an unknown id, freshness='applied'", f"{table.median(lambda: measures.exists_of_unknown(tracker, 20_000)):,.0f} /s"
            )

    def append() -> float:
        with folder() as home:
            return measures.append(f"sqlite:///{home}/events.db", tasks // 3)

    table.row("append by the recorder, SQLite", f"{table.median(append):,.0f} events/s", "≥ 40,000")

    def latency(measure: Callable[[str, int], float]) -> Callable[[], float]:
        def run() -> float:
            with folder() as home:
                return measure(f"sqlite:///{home}/events.db", 500)

        return run

    ours, theirs = table.compare(latency(measures.callback_latency), latency(measures.raw_latency))
    table.row(
        "append → callback, SQLite, p50 (raw append → read)",
        f"{ours * 1e3:.2f} ms ({theirs * 1e3:.2f})",
        f"{ours / theirs:.2f} × raw, ≤ 1.3",
    )

    with folder() as home:
        held, rate, left = measures.promises(home, 100_000)
    table.row("100,000 pending promises: each holds", f"{held:,.0f} bytes")
    table.row("… resolved", f"{rate:,.0f} /s")
    table.row("… objects left for each afterwards", f"{left:.3f}", "no growth")


def on_kafka(table: Table, tasks: int) -> None:
    """What runs on a real Apache Kafka; one partition."""
    with KafkaCluster(jvm_options=()) as kafka:

        def topic() -> str:
            name = f"bench-{uuid.uuid4().hex[:8]}"
            kafka.create_topic(name, 1, {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "16777216"})
            return name

        full = topic()
        with folder() as home:
            for client in CLIENTS:
                url = f"{kafka.url(full)}?client={client}"
                rates = []
                for number in range(table.rounds):
                    (home / client / str(number)).mkdir(parents=True)
                    rates.append(measures.fold(url, home / client / str(number), tasks))
                reads = table.median(lambda url=url: measures.read_only(url, lambda count: count))
                goal = {"kafka-python": "≥ 45,000", "confluent": "≥ 70,000"}[client]
                table.row(f"fold from Kafka by {client} (reading alone)", f"{statistics.median(rates):,.0f} ({reads:,.0f}) events/s", goal)

        records = [(fact.task_id.encode(), fact.value) for fact in facts(tasks // 3)]
        raws = {"kafka-python": raw.append_kafka_python, "confluent": raw.append_confluent}
        for client in CLIENTS:
            ours, theirs = table.compare(
                lambda client=client: measures.append(f"{kafka.url(topic())}?client={client}", tasks // 3),
                lambda client=client: raws[client](kafka.bootstrap, topic(), records),
            )
            goal = {"kafka-python": "≥ 0.5", "confluent": "≥ 0.35"}[client]
            table.row(
                f"append by the recorder, {client} (raw client)", f"{ours:,.0f} ({theirs:,.0f}) /s", f"{ours / theirs:.2f} × raw, {goal}"
            )

        for client in CLIENTS:
            with folder() as home:
                ours, theirs = table.compare(
                    lambda client=client, home=home: measures.callback_latency(
                        f"{kafka.url(topic())}?client={client}", 300, view=str(home / uuid.uuid4().hex)
                    ),
                    lambda client=client: measures.raw_latency(f"{kafka.url(topic())}?client={client}", 300),
                )
            table.row(
                f"append → callback, {client}, p50 (raw append → read)",
                f"{ours * 1e3:.2f} ms ({theirs * 1e3:.2f})",
                f"{ours / theirs:.2f} × raw, ≤ 1.3",
            )


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks of three events each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-kafka", action="store_true")
    parser.add_argument("--only-kafka", action="store_true")
    options = parser.parse_args()
    for name, value in machine_facts().items():
        print(f"{name:<16} {value}")
    print()
    table = Table(options.rounds)
    if not options.only_kafka:
        embedded(table, options.tasks)
    if not options.no_kafka:
        on_kafka(table, options.tasks)


if __name__ == "__main__":
    main()
