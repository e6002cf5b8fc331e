"""A Spark job over an archive, read as it is: how long tasks ran, by name.

    spark-submit examples/spark/percentiles.py s3a://bucket/archive

Prints one JSON object for each name. Nothing of eventresults is needed where it runs.
"""

from __future__ import annotations

import sys

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f


def percentiles(events: DataFrame) -> DataFrame:
    """Runs, median, 99th percentile and maximum of the seconds that tasks ran, by name."""
    names = events.where("kind = 'task-sent'").select("task_id", "name")
    ended = events.where("kind IN ('task-succeeded', 'task-failed') AND run_seconds IS NOT NULL").select("task_id", "run_seconds")
    return (
        ended.join(names, "task_id", "left")
        .groupBy(f.coalesce("name", f.lit("(unknown)")).alias("name"))
        .agg(
            f.count("*").alias("runs"),
            f.expr("percentile(run_seconds, 0.5)").alias("p50"),
            f.expr("percentile(run_seconds, 0.99)").alias("p99"),
            f.max("run_seconds").alias("longest"),
        )
        .orderBy(f.desc("p99"))
    )


def main(archive: str) -> None:
    """Ask the archive in this place."""
    spark = SparkSession.builder.appName("eventresults-percentiles").getOrCreate()
    try:
        for line in percentiles(spark.read.parquet(f"{archive}/events")).toJSON().collect():
            print(line)
    finally:
        spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
