"""What there is to ask: the views `events`, `attempts` and `tasks`.

`events` has one row per record, in the columns of the archive, and `value`: the event as JSON.

`attempts` has one row per run of a task, told from its first fact to the last of that run. `wait_seconds` is from when it was sent, or
from the end of the run before, to its start; `run_seconds` is what the worker measured, else the time between start and end. `outcome` is
SUCCESS, FAILURE, RETRY, REVOKED or REJECTED, LOST when another run began before anybody told of its end, and null while it is open.

Both count a fact that was told twice (under one event id) once, and know nothing of lives that were forgotten.

`tasks` has one row per task that is not forgotten. The fold of `eventresults.domain.fold` is the law; this agrees with it wherever facts
come in an order that a worker writes, but that `attempts` also counts runs after one that succeeded.
"""

from __future__ import annotations

from eventresults.archive.schema import SCHEMA
from eventresults.archive.values import MARKS

_RAW = {"key", "rest", "raw"}
_WON = "bool_or(kind = 'task-succeeded' AND NOT observed)"
_ENDS = "('task-succeeded', 'task-failed', 'task-retried', 'task-revoked', 'task-rejected')"


def views(source: str) -> str:
    """The statements that make the views over this table or table function."""
    columns = ", ".join(f'"{name}"' for name in SCHEMA.names if name not in _RAW)
    return f"""
CREATE VIEW events AS SELECT {columns}, coalesce({_value()}, try(decode(raw))) AS value FROM {source};

CREATE VIEW repeated AS
SELECT partition, task_id, event_id, min("offset") AS first FROM events
WHERE hash(event_id) IN (SELECT hash(event_id) FROM events GROUP BY ALL HAVING count(*) > 1)
GROUP BY ALL HAVING count(*) > 1;

CREATE VIEW living AS
SELECT e.* FROM events e
LEFT JOIN repeated r ON e.partition = r.partition AND e.task_id = r.task_id AND e.event_id = r.event_id
LEFT JOIN (SELECT partition, task_id, max("offset") AS forgotten FROM events WHERE kind = 'task-forgotten' GROUP BY ALL) f
    ON e.partition = f.partition AND e.task_id = f.task_id
WHERE e.kind LIKE 'task-%' AND (r.first IS NULL OR e."offset" = r.first) AND (f.forgotten IS NULL OR e."offset" > f.forgotten);

CREATE VIEW attempts AS
WITH told AS (
    SELECT
        *,
        count(*) FILTER (kind = 'task-started') OVER life AS starts,
        coalesce(max(attempt) OVER life, 0) AS counted,
        last_value(name IGNORE NULLS) OVER life AS task_name,
        last_value(queue IGNORE NULLS) OVER life AS task_queue,
        max(time) FILTER (kind IN ('task-sent', 'task-retried', 'task-rejected')) OVER before AS queued
    FROM living
    WINDOW
        life AS (PARTITION BY partition, task_id ORDER BY "offset"),
        before AS (PARTITION BY partition, task_id ORDER BY "offset" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),
numbered AS (SELECT *, CASE WHEN counted > 0 THEN counted ELSE starts END AS number FROM told),
runs AS (
    SELECT
        partition,
        task_id,
        number AS attempt,
        max(task_name) AS name,
        max(task_queue) AS queue,
        max(worker) AS worker,
        min(queued) FILTER (kind = 'task-started') AS queued_at,
        min(time) FILTER (kind = 'task-started') AS started_at,
        arg_max(time, "offset") FILTER (kind IN {_ENDS}) AS ended_at,
        arg_max(state, "offset") FILTER (kind IN {_ENDS}) AS told_outcome,
        max(run_seconds) AS measured,
        arg_max(error_type, "offset") AS error_type,
        arg_max(error_message, "offset") AS error_message,
        arg_max(error_fingerprint, "offset") AS error_fingerprint,
        count(DISTINCT event_id) FILTER (kind = 'task-started') AS starts,
        min("offset") AS first_offset,
        max("offset") AS last_offset,
        min(log_time) AS log_time
    FROM numbered WHERE number > 0
    GROUP BY partition, task_id, number
)
SELECT
    task_id, attempt, name, queue, worker,
    coalesce(told_outcome, CASE WHEN attempt < max(attempt) OVER (PARTITION BY partition, task_id) THEN 'LOST' END) AS outcome,
    queued_at, started_at, ended_at,
    date_diff('microsecond', queued_at, started_at) / 1e6 AS wait_seconds,
    coalesce(measured, date_diff('microsecond', started_at, ended_at) / 1e6) AS run_seconds,
    error_type, error_message, error_fingerprint, starts, partition, first_offset, last_offset, log_time
FROM runs;

CREATE VIEW tasks AS
SELECT
    task_id,
    CASE
        WHEN {_WON} THEN 'SUCCESS'
        ELSE coalesce(
            arg_max(state, "offset") FILTER (NOT observed AND kind NOT IN ('task-sent', 'task-received')),
            CASE WHEN bool_or(kind = 'task-received') THEN 'RECEIVED' ELSE 'PENDING' END
        )
    END AS state,
    arg_max(name, "offset") AS name,
    arg_max(queue, "offset") AS queue,
    coalesce(arg_max(worker, "offset") FILTER (NOT observed), arg_max(worker, "offset")) AS worker,
    min(time) FILTER (kind = 'task-sent') AS sent_at,
    min(time) FILTER (kind = 'task-received') AS received_at,
    min(time) FILTER (kind = 'task-started') AS first_started_at,
    max(time) FILTER (kind = 'task-started') AS started_at,
    arg_max(time, "offset") FILTER (kind IN ('task-succeeded', 'task-failed', 'task-revoked', 'task-rejected')) AS ended_at,
    date_diff('microsecond', min(time) FILTER (kind = 'task-sent'), min(time) FILTER (kind = 'task-started')) / 1e6 AS wait_seconds,
    arg_max(run_seconds, "offset") AS run_seconds,
    greatest(coalesce(max(attempt), 0), count(DISTINCT event_id) FILTER (kind = 'task-started' AND attempt IS NULL)) AS attempts,
    CASE WHEN NOT {_WON} THEN arg_max(error_type, "offset") END AS error_type,
    CASE WHEN NOT {_WON} THEN arg_max(error_message, "offset") END AS error_message,
    CASE WHEN NOT {_WON} THEN arg_max(error_fingerprint, "offset") END AS error_fingerprint,
    arg_max(args, "offset") AS args,
    arg_max(kwargs, "offset") AS kwargs,
    arg_max(result, "offset") FILTER (kind = 'task-succeeded') AS result,
    any_value(root_id) AS root_id,
    any_value(parent_id) AS parent_id,
    any_value(previous_id) AS previous_id,
    any_value(group_id) AS group_id,
    count(*) AS facts,
    partition,
    min("offset") AS first_offset,
    max("offset") AS last_offset,
    min(log_time) AS born_at,
    max(log_time) AS log_time
FROM living
GROUP BY partition, task_id
HAVING bool_or(kind <> 'task-revoke-requested');
"""  # noqa: S608 - of names that this module knows, and paths that were quoted


def _value() -> str:
    """The value, whole again: the same JSON as recorded, where a float's digits may differ that mean the same."""
    texts = {name: name for name in MARKS}
    texts["time"] = "strftime(time, '%Y-%m-%dT%H:%M:%S.%fZ')"
    texts["run_seconds"] = "CAST(run_seconds AS VARCHAR)"
    made = "decode(rest)"
    for name, mark in list(MARKS.items())[::-1]:
        made = f"replace({made}, chr({mark[0]}), coalesce({texts[name]}, ''))"
    return made
