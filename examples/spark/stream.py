"""A Structured Streaming job from the topic itself: finished tasks, counted by state and minute of the broker's clock, into Parquet.

    spark-submit --packages org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0 examples/spark/stream.py h1:9092 task-events OUT CHECKPOINT

Takes what is there, and ends; run again with the same checkpoint it takes what came since, each record once.
"""

from __future__ import annotations

import sys

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

STATES = {"task-succeeded": "SUCCESS", "task-failed": "FAILURE", "task-revoked": "REVOKED"}


def finished(records: DataFrame) -> DataFrame:
    """The finishing facts among Kafka's records: position, log time, task and state."""
    value = f.col("value").cast("string")
    kind = f.get_json_object(value, "$.kind")
    state = f.create_map(*(f.lit(text) for pair in STATES.items() for text in pair))[kind]
    return records.select(
        "partition",
        "offset",
        f.col("timestamp").alias("log_time"),
        f.get_json_object(value, "$.task_id").alias("task_id"),
        state.alias("state"),
        f.get_json_object(value, "$.runtime").cast("double").alias("run_seconds"),
    ).where("state IS NOT NULL")


def main(servers: str, topic: str, out: str, checkpoint: str) -> None:
    """Take what the topic holds beyond the checkpoint."""
    spark = SparkSession.builder.appName("eventresults-stream").getOrCreate()
    try:
        records = (
            spark.readStream.format("kafka")
            .option("kafka.bootstrap.servers", servers)
            .option("subscribe", topic)
            .option("startingOffsets", "earliest")
            .option("failOnDataLoss", "true")
            .load()
        )
        stream = finished(records).writeStream.format("parquet").option("path", out).option("checkpointLocation", checkpoint)
        stream.trigger(availableNow=True).start().awaitTermination()
    finally:
        spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
