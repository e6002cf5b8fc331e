"""A real Spark reads an archive as it is, and the topic as it comes. `make spark` brings Spark, and runs these."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from eventresults import bootstrap
from eventresults.archive.archive import Archive
from eventresults.archive.sql.questions import RUNTIME_PERCENTILES
from eventresults.archive.sql.session import Session
from eventresults.config import load_settings
from tests.support.archives import Clock, append, archived, memory_log
from tests.support.events import failed, sent, started, succeeded

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "spark"
JARS = ROOT / ".cache" / "spark"
PATIENCE = 240

pytestmark = [
    pytest.mark.spark,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="there is no Spark here: `make spark` brings it"),
]


def submit(tmp_path: Path, script: str, *words: str) -> list[str]:
    """Run a job on a local Spark; the lines that it printed."""
    conf = {
        "spark.master": "local[2]",
        "spark.ui.enabled": "false",
        "spark.driver.memory": "1g",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.warehouse.dir": str(tmp_path / "warehouse"),
        "spark.jars": ",".join(str(jar) for jar in sorted(JARS.glob("*.jar"))),
    }
    folder = tmp_path / "conf"
    folder.mkdir(exist_ok=True)
    (folder / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in conf.items() if value))
    environ = {**os.environ, "SPARK_CONF_DIR": str(folder), "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *words],
        cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.splitlines()


def day(*, tasks: int):
    for number in range(tasks):
        task_id = f"task-{number}"
        name = "even" if number % 2 == 0 else "odd"
        yield sent(task_id=task_id, name=name, args=[number])
        yield started(task_id=task_id, attempt=1)
        yield succeeded(task_id=task_id, runtime=number / 8) if number % 10 else failed(task_id=task_id, runtime=1.0)


def test_an_archive_is_read_as_it_is(tmp_path):
    # given an archive of two days, in several files
    clock = Clock()
    log = memory_log(partitions=2, clock=clock)
    append(log, day(tasks=50))
    archived(log, tmp_path / "archive")
    clock.now += 86_400_000
    append(log, day(tasks=70))
    archived(log, tmp_path / "archive")

    # when
    found = [json.loads(line) for line in submit(tmp_path, "percentiles.py", str(tmp_path / "archive"))]

    # then Spark answers what our own question does
    with Session(Archive(tmp_path / "archive")) as session:
        ours = session.ask(RUNTIME_PERCENTILES.sql, RUNTIME_PERCENTILES.values({})).rows
    names = ("name", "runs", "p50", "p99", "longest")
    assert [[row[name] for name in names] for row in found] == [[row[name] for name in names] for row in ours]


@pytest.mark.kafka
@pytest.mark.skipif(not list(JARS.glob("spark-sql-kafka*.jar")), reason="Spark's connector to Kafka is not here: `make spark` brings it")
def test_the_topic_is_streamed_and_each_record_taken_once(tmp_path, kafka, make_topic):
    # given
    topic = make_topic(partitions=2)
    log = bootstrap.make_log(load_settings(kafka.url(topic)))
    append(log, day(tasks=40))
    words = (kafka.bootstrap, topic, str(tmp_path / "out"), str(tmp_path / "checkpoint"))

    # when
    submit(tmp_path, "stream.py", *words)
    append(log, day(tasks=10))
    submit(tmp_path, "stream.py", *words)
    log.close()

    # then
    table = ds.dataset(tmp_path / "out", format="parquet", exclude_invalid_files=True).to_table()
    states = table.column("state").to_pylist()
    assert (states.count("SUCCESS"), states.count("FAILURE")) == (45, 5)
    positions = set(zip(table.column("partition").to_pylist(), table.column("offset").to_pylist(), strict=True))
    assert len(positions) == 50
