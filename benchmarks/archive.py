"""`python -m benchmarks.archive [--events N] [--rounds N] [--no-kafka]`: how fast events are archived and asked, and how small they are."""

from __future__ import annotations

import argparse
import gc
import resource
import sqlite3
import statistics
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.day import facts, fill_sqlite
from benchmarks.machine import facts as machine_facts
from eventresults.archive.archive import Archive
from eventresults.archive.archiver import Archiver
from eventresults.archive.arrow import pa, pc
from eventresults.archive.compact import repair
from eventresults.archive.files import FileWriter
from eventresults.archive.layout import FileName
from eventresults.archive.sql.questions import RUNTIME_PERCENTILES
from eventresults.archive.sql.session import Bounds, Session
from eventresults.archive.verify import Comparison
from eventresults.log.base import Log
from eventresults.log.confluent import ConfluentLog
from eventresults.log.kafka import KafkaLog
from eventresults.log.sqlite import SqliteLog
from tests.support.kafka import KafkaCluster

COPIES = 10


class Spent(NamedTuple):
    """Events, and the seconds that they took: by the clock, and of all processors of this process."""

    events: int
    seconds: float
    processors: float

    def __str__(self) -> str:
        return f"{self.events / self.seconds:,.0f} events/s ({self.processors / self.events * 1e6:.1f} µs of processor each)"


def measured(work: Callable[[], int]) -> Spent:
    """Do it once."""
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    events = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return Spent(events, time.perf_counter() - begun, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def archived(log: Log, home: Path, rounds: int) -> Spent:
    """The median of archiving the whole log, each time into a new place."""

    def once() -> int:
        return Archiver(log, home / uuid.uuid4().hex, topic="bench").once().rows

    return sorted((measured(once) for _ in range(rounds)), key=lambda spent: spent.seconds)[rounds // 2]


def multiplied(source: Archive, home: Path, copies: int) -> Archive:
    """An archive of so many times the events, the tasks and event ids of each copy being others."""
    (home / "archive.json").write_bytes(source.identity.dump())
    offset = 0
    (chain,) = source.chains().values()
    for copy in range(copies):
        for entry in chain.files:
            name = FileName(source.identity.topic, 0, offset)
            writer = FileWriter(home / "draft", name)
            for table in source.tables(entry):
                changed = {"offset": pa.array(range(offset, offset + table.num_rows), pa.int64())}
                changed |= {name: pc.utf8_replace_slice(table.column(name), 0, 2, f"{copy:02x}") for name in ("task_id", "event_id")}
                offset += table.num_rows
                for name, column in changed.items():
                    table = table.set_column(table.column_names.index(name), table.schema.field(name), column)  # noqa: PLW2901
                writer.write(table)
            writer.span(entry.first, entry.last)
            made = writer.finish(offset)
            (home / made.path).parent.mkdir(parents=True, exist_ok=True)
            (home / "draft").rename(home / made.path)
    archive = Archive(home)
    repair(archive)
    return archive


def embedded(events: int, rounds: int, home: Path) -> None:
    """What needs no broker."""
    path = home / "day.db"
    fill_sqlite(str(path), events)
    with closing(sqlite3.connect(path)) as database:
        json_bytes = database.execute("SELECT sum(length(value)) FROM records").fetchone()[0]
    with closing(SqliteLog(path)) as log:
        row("archive from SQLite", str(archived(log, home, rounds)), "≥ 100,000")
        done = Archiver(log, home / "kept", topic="bench").once()
        row("archive's size, of that of its JSON", f"{done.bytes / json_bytes:.1%} ({done.bytes / done.rows:.1f} bytes an event)", "≤ 15 %")
        comparison = Comparison(Archive(home / "kept"), log)
        row("verify: compare every record and column", str(measured(lambda: compared(comparison))))
    (home / "many").mkdir()
    archive = multiplied(Archive(home / "kept"), home / "many", COPIES)
    with Session(archive, bounds=Bounds(memory="2GB")) as session:
        count = session.ask("SELECT count(*) AS n FROM events").rows[0]["n"]
        times = [measured(lambda: len(session.ask(RUNTIME_PERCENTILES.sql, RUNTIME_PERCENTILES.values({})).rows)) for _ in range(rounds)]
    row(f"runtime-percentiles of {count:,} events", f"{statistics.median(one.seconds for one in times):.2f} s", "< 2 s for 10,000,000")


def compared(comparison: Comparison) -> int:
    assert list(comparison.differences()) == []
    return comparison.rows


def on_kafka(events: int, rounds: int, home: Path) -> None:
    """From a real Apache Kafka; one partition."""
    with KafkaCluster(jvm_options=()) as kafka:
        topic = f"bench-{uuid.uuid4().hex[:8]}"
        kafka.create_topic(topic, 1, {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "16777216"})
        with closing(ConfluentLog(kafka.bootstrap, topic)) as log, closing(log.writer()) as writer:
            for fact in facts(events):
                writer.append(fact.task_id.encode(), fact.value)
            assert writer.flush(120)
        for client in (ConfluentLog, KafkaLog):
            with closing(client(kafka.bootstrap, topic)) as log:
                row(f"archive from Kafka, {client.__name__}", str(archived(log, home, rounds)), "≥ 60,000")


def row(what: str, figure: str, goal: str = "") -> None:
    """Print one."""
    print(f"{what:<45} {figure:>52}  {goal}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-kafka", action="store_true")
    given = parser.parse_args()
    gc.set_threshold(100_000, 20, 50)  # as `eventresults archive run` does
    for name, value in machine_facts().items():
        print(f"{name:<16} {value}")
    with TemporaryDirectory(prefix="eventresults-bench-") as home:
        embedded(given.events, given.rounds, Path(home))
        if not given.no_kafka:
            on_kafka(given.events, given.rounds, Path(home))


if __name__ == "__main__":
    main()
