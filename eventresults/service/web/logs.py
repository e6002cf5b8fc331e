"""Structured logs on stderr: JSON lines for a collector, readable lines on a terminal. No header, query or token is ever in them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

from eventresults.service.web.brokernews import BrokerNews

#: Client libraries tell of every connection they try again; what matters of that reaches the log as an error of ours.
CHATTY = ("kafka", "confluent_kafka", "eventresults.log.kafka", "eventresults.log.confluent")
ACCESS = "uvicorn.access"
#: Whoever keeps the process running asks these every few seconds.
UNLOGGED = frozenset({"/livez", "/readyz", "/metrics"})
#: Said of a client that we dropped or refused on purpose.
BESIDE_THE_POINT = frozenset(
    {"ASGI callable returned without completing response.", "ASGI callable returned without completing handshake."}
)

Event = MutableMapping[str, Any]


@contextmanager
def structured_logs(level: str, *, terminal: bool | None = None) -> Iterator[None]:
    """While the block runs, everything that is logged at `level` or above goes to stderr, one event a line; as before afterwards.

    `terminal` (None: whether stderr is one) chooses lines for people.
    """
    root, ours, uvicorn = logging.getLogger(), logging.getLogger("eventresults"), logging.getLogger("uvicorn")
    before = root.handlers[:], root.level, ours.level, uvicorn.level
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(sys.stderr.isatty() if terminal is None else terminal))
    handler.addFilter(_wanted)
    handler.addFilter(BrokerNews())
    root.handlers[:] = [handler]
    root.setLevel("WARNING")
    ours.setLevel(level)
    uvicorn.setLevel(level)
    try:
        yield
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        ours.setLevel(before[2])
        uvicorn.setLevel(before[3])


def _wanted(record: logging.LogRecord) -> bool:
    if record.levelno < logging.ERROR and record.name.startswith(CHATTY):
        return False
    if record.name == ACCESS and isinstance(record.args, tuple) and len(record.args) == 5:
        return _as_request(record, *record.args)
    return record.msg not in BESIDE_THE_POINT


def _as_request(record: logging.LogRecord, client: object, method: object, path: object, _: object, status: object) -> bool:
    """The access log's line as fields, without the query: it may hold what was meant for nobody's log."""
    path = str(path).partition("?")[0]
    record.msg, record.args = "request", ()
    record.__dict__.update(client=client, method=method, path=path, status=status)
    return path not in UNLOGGED


def _formatter(terminal: bool) -> logging.Formatter:
    show: list[Any] = (
        [_printable, structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=structlog.dev.plain_traceback)]
        if terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.ExtraAdder(),
        ],
        processors=[_plain, structlog.stdlib.ProcessorFormatter.remove_processors_meta, *show],
    )


def _plain(_: Any, __: str, event: Event) -> Event:
    event.pop("color_message", None)
    return event


def _printable(_: Any, __: str, event: Event) -> Event:
    """Nothing recorded by somebody else may move the cursor or forge a line. The traceback is ours."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in value)
    return event
