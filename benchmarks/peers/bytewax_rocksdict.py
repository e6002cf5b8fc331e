"""Bytewax with a sink of our own, which folds each batch into RocksDB: one batched read and one write for some thousand events."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main
from rocksdict import Options, Rdict, WriteBatch

from benchmarks.peers.job import Watch, asked
from benchmarks.peers.sameness import checksum, step

BATCH = 10_000
POSITION = b"\x00position-"


class Sink(DynamicSink[KafkaSourceMessage]):
    """One RocksDB for all partitions; the positions are written with the rows."""

    def __init__(self, folder: Path, watch: Watch) -> None:
        self.rows = Rdict(str(folder), Options(raw_mode=True))
        self.watch = watch

    def build(self, _step: str, _index: int, _count: int) -> SinkPartition:
        return SinkPartition(self.rows, self.watch)


class SinkPartition(StatelessSinkPartition[KafkaSourceMessage]):
    """The fold."""

    def __init__(self, rows: Rdict, watch: Watch) -> None:
        self._rows = rows
        self._watch = watch

    def write_batch(self, items: list[KafkaSourceMessage]) -> None:
        self._watch.start()
        keys = list({item.key for item in items})
        known = {key: None if row is None else orjson.loads(row) for key, row in zip(keys, self._rows.get(keys), strict=True)}
        positions = {}
        for item in items:
            known[item.key] = step(known[item.key], orjson.loads(item.value))
            positions[item.partition] = item.offset
        batch = WriteBatch(raw_mode=True)
        for key, row in known.items():
            batch.put(key, orjson.dumps(row))
        for partition, offset in positions.items():
            batch.put(POSITION + str(partition).encode(), str(offset + 1).encode())
        self._rows.write(batch)
        self._watch.stop()


def rows(found: Rdict) -> Iterator[dict[str, Any]]:
    """All of them."""
    for key, row in found.items():
        if not key.startswith(POSITION):
            yield orjson.loads(row)


def main() -> None:
    """Fold the topic."""
    job, _ = asked(argparse.ArgumentParser(description=__doc__))
    watch = Watch()
    sink = Sink(job.folder / "rows", watch)
    flow = Dataflow("fold")
    source = KafkaSource([job.bootstrap], [job.topic], tail=False, batch_size=BATCH)
    op.output("rocksdb", op.input("kafka", flow, source), sink)
    run_main(flow)
    watch.answer(job.events, checksum(rows(sink.rows)))
    sink.rows.close()


if __name__ == "__main__":
    main()
