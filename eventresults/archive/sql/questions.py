"""The questions that everybody asks of their tasks, sooner or later."""

from __future__ import annotations

from eventresults.archive.sql.question import Chart, Given, Question

_BUCKET = Given("1 hour", "How long each stretch of time is: '5 minutes', '1 hour', '1 day'.")
_LIMIT = Given(50, "How many rows at most.")

RUNTIME_PERCENTILES = Question(
    "runtime-percentiles",
    "How long tasks ran, by name.",
    """
    WITH names AS (SELECT task_id, name FROM events WHERE kind = 'task-sent')
    SELECT
        coalesce(names.name, '(unknown)') AS name,
        count(*) AS runs,
        quantile_cont(run_seconds, 0.5) AS p50,
        quantile_cont(run_seconds, 0.9) AS p90,
        quantile_cont(run_seconds, 0.99) AS p99,
        max(run_seconds) AS longest,
        sum(run_seconds) AS total_seconds
    FROM (SELECT task_id, run_seconds FROM events WHERE kind IN ('task-succeeded', 'task-failed') AND run_seconds IS NOT NULL) ended
    LEFT JOIN names ON names.task_id = ended.task_id
    GROUP BY ALL ORDER BY p99 DESC LIMIT $limit
    """,
    Chart("bars", "name", "p99", "s"),
    {"limit": _LIMIT},
)

QUEUE_WAIT = Question(
    "queue-wait",
    "How long tasks waited from being sent to their first start, by queue and time.",
    """
    SELECT
        coalesce(queue, '(none)') AS queue,
        time_bucket(CAST($bucket AS INTERVAL), sent_at) AS time,
        count(*) AS tasks,
        quantile_cont(wait_seconds, 0.5) AS p50,
        quantile_cont(wait_seconds, 0.95) AS p95,
        max(wait_seconds) AS longest
    FROM tasks WHERE wait_seconds IS NOT NULL
    GROUP BY ALL ORDER BY time, queue
    """,
    Chart("lines", "time", "p95", "s", "queue"),
    {"bucket": _BUCKET},
)

RETRY_RATE = Question(
    "retry-rate",
    "How many tasks needed more than one attempt, by name.",
    """
    WITH retries AS (SELECT partition, task_id, count(*) AS n FROM events WHERE kind = 'task-retried' GROUP BY ALL)
    SELECT
        coalesce(name, '(unknown)') AS name,
        count(*) AS tasks,
        count(n) AS retried,
        coalesce(sum(n), 0)::BIGINT AS retries,
        count(n) / count(*) AS rate
    FROM tasks LEFT JOIN retries ON retries.partition = tasks.partition AND retries.task_id = tasks.task_id
    GROUP BY ALL ORDER BY rate DESC, tasks DESC LIMIT $limit
    """,
    Chart("bars", "name", "rate"),
    {"limit": _LIMIT},
)

FAILURE_CLUSTERS = Question(
    "failure-clusters",
    "Failures that most likely have one cause, with when they were first and last seen.",
    """
    SELECT
        coalesce(error_type, '(unknown)') || ' ' || left(error_fingerprint, 6) AS cluster,
        count(*) AS failures,
        count(DISTINCT task_id) AS tasks,
        min(time) AS first_seen,
        max(time) AS last_seen,
        arg_max(error_message, time) AS message,
        arg_max(task_id, time) AS example,
        error_fingerprint
    FROM events WHERE kind IN ('task-failed', 'task-retried') AND error_fingerprint IS NOT NULL
    GROUP BY error_type, error_fingerprint ORDER BY failures DESC, last_seen DESC LIMIT $limit
    """,
    Chart("bars", "cluster", "failures"),
    {"limit": _LIMIT},
)

WORKER_SKEW = Question(
    "worker-skew",
    "Whether some workers do more, or are slower, than the others; `load` is work done in proportion to the average.",
    """
    SELECT
        worker,
        count(*) AS runs,
        sum(run_seconds) AS busy_seconds,
        sum(run_seconds) / avg(sum(run_seconds)) OVER () AS load,
        quantile_cont(run_seconds, 0.5) AS p50,
        count(*) FILTER (kind = 'task-failed') / count(*) AS failure_rate
    FROM events WHERE kind IN ('task-succeeded', 'task-failed') AND worker IS NOT NULL
    GROUP BY worker ORDER BY load DESC NULLS LAST LIMIT $limit
    """,
    Chart("bars", "worker", "load", "× average"),
    {"limit": _LIMIT},
)

SLA_MISSES = Question(
    "sla-misses",
    "Tasks that took longer than they may, from being sent to their end, by name.",
    """
    WITH lasted AS (
        SELECT
            coalesce(name, '(unknown)') AS name,
            task_id,
            date_diff('microsecond', sent_at, coalesce(ended_at, (SELECT max(time) FROM events))) / 1e6 AS seconds
        FROM tasks WHERE sent_at IS NOT NULL
    )
    SELECT
        name,
        count(*) AS tasks,
        count(*) FILTER (seconds > $sla) AS misses,
        count(*) FILTER (seconds > $sla) / count(*) AS rate,
        max(seconds) AS longest,
        arg_max(task_id, seconds) AS example
    FROM lasted GROUP BY name HAVING misses > 0 ORDER BY misses DESC LIMIT $limit
    """,
    Chart("bars", "name", "misses"),
    {"sla": Given(60.0, "Seconds that a task may take."), "limit": _LIMIT},
)

ORPHANS = Question(
    "orphans",
    "Tasks of which nothing was heard any more, though they never ended.",
    """
    SELECT
        task_id, coalesce(name, '(unknown)') AS name, state, worker, attempts, log_time AS last_heard,
        date_diff('second', log_time, (SELECT max(log_time) FROM events)) AS silent_seconds
    FROM tasks
    WHERE state NOT IN ('SUCCESS', 'FAILURE', 'REVOKED', 'REJECTED')
        AND date_diff('second', log_time, (SELECT max(log_time) FROM events)) >= $silent
    ORDER BY silent_seconds DESC, task_id LIMIT $limit
    """,
    Chart("bars", "task_id", "silent_seconds", "s"),
    {"silent": Given(3600.0, "Seconds of silence before the end of the archive."), "limit": _LIMIT},
)

PEAK_CONCURRENCY = Question(
    "peak-concurrency",
    "How many tasks ran at the same time at most, over time.",
    """
    WITH steps AS (
        SELECT started_at AS moment, 1 AS step FROM attempts WHERE started_at IS NOT NULL AND ended_at IS NOT NULL
        UNION ALL
        SELECT greatest(ended_at, started_at), -1 FROM attempts WHERE started_at IS NOT NULL AND ended_at IS NOT NULL
    ),
    sweep AS (SELECT moment, sum(step) OVER (ORDER BY moment, step ROWS UNBOUNDED PRECEDING) AS running FROM steps)
    SELECT time_bucket(CAST($bucket AS INTERVAL), moment) AS time, max(running)::BIGINT AS peak, arg_max(moment, running) AS peak_at
    FROM sweep GROUP BY ALL ORDER BY time
    """,
    Chart("lines", "time", "peak", "tasks"),
    {"bucket": _BUCKET},
)

DUPLICATE_EXECUTIONS = Question(
    "duplicate-executions",
    "Tasks that ran again though a run had succeeded, or whose same attempt was begun more than once.",
    """
    WITH ran AS (
        SELECT
            partition, task_id,
            count(DISTINCT event_id) FILTER (kind = 'task-succeeded') AS successes,
            count(DISTINCT event_id) FILTER (kind = 'task-started') AS starts,
            count(DISTINCT attempt) FILTER (kind = 'task-started') AS attempts,
            count(DISTINCT worker) AS workers
        FROM living WHERE NOT observed GROUP BY ALL
        HAVING successes > 1 OR (attempts > 0 AND starts > attempts)
    )
    SELECT ran.task_id, coalesce(any_value(sent.name), '(unknown)') AS name, successes, starts, attempts, workers
    FROM ran LEFT JOIN events sent ON sent.partition = ran.partition AND sent.task_id = ran.task_id AND sent.kind = 'task-sent'
    GROUP BY ALL ORDER BY successes DESC, starts DESC, ran.task_id LIMIT $limit
    """,
    Chart("bars", "task_id", "starts"),
    {"limit": _LIMIT},
)

HEAVY_RESULTS = Question(
    "heavy-results",
    "Which tasks return the most bytes, by name.",
    """
    WITH names AS (SELECT task_id, name FROM events WHERE kind = 'task-sent')
    SELECT
        coalesce(names.name, '(unknown)') AS name,
        count(*) AS results,
        sum(size)::BIGINT AS total_bytes,
        max(size)::BIGINT AS largest,
        quantile_cont(size, 0.5)::BIGINT AS p50,
        arg_max(heavy.task_id, size) AS example
    FROM (SELECT task_id, strlen(result) AS size FROM events WHERE kind = 'task-succeeded' AND result IS NOT NULL) heavy
    LEFT JOIN names ON names.task_id = heavy.task_id
    GROUP BY ALL ORDER BY total_bytes DESC LIMIT $limit
    """,
    Chart("bars", "name", "total_bytes", "bytes"),
    {"limit": _LIMIT},
)

THROUGHPUT = Question(
    "throughput",
    "How many tasks ended, by state and time.",
    """
    SELECT time_bucket(CAST($bucket AS INTERVAL), log_time) AS time, state, count(*) AS tasks
    FROM events WHERE kind IN ('task-succeeded', 'task-failed', 'task-revoked')
    GROUP BY ALL ORDER BY time, state
    """,
    Chart("lines", "time", "tasks", "tasks", "state"),
    {"bucket": _BUCKET},
)

QUESTIONS = (
    THROUGHPUT,
    RUNTIME_PERCENTILES,
    QUEUE_WAIT,
    RETRY_RATE,
    FAILURE_CLUSTERS,
    WORKER_SKEW,
    SLA_MISSES,
    ORPHANS,
    PEAK_CONCURRENCY,
    DUPLICATE_EXECUTIONS,
    HEAVY_RESULTS,
)
