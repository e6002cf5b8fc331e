"""`eventresults events`: the log itself, read and written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from eventresults.cli import logread, records
from eventresults.cli.connection import opened, settled
from eventresults.cli.exits import ExitCode
from eventresults.cli.incoming import read_events
from eventresults.cli.logread import Found
from eventresults.cli.options import Output, Url, View
from eventresults.cli.output import Format, Stream, print_rows
from eventresults.cli.terminal import complain, one_line, say
from eventresults.codec.ids import key_of
from eventresults.config.closest import did_you_mean
from eventresults.domain.events import EVENT_CLASSES
from eventresults.errors import EventResultsError
from eventresults.log.base import Log, LogInfo, Record

app = typer.Typer(no_args_is_help=True, help="Read the log, follow it, and append to it.")

From = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        metavar="PLACE",
        help="Begin at this position (partition:offset) or time (ISO 8601, '2h ago'). Positions name the partitions to read.",
    ),
]
To = Annotated[list[str] | None, typer.Option("--to", metavar="PLACE", help="End before this position or time.")]
Id = Annotated[str | None, typer.Option("--id", help="Only events of this task or group.", show_default=False)]
Kind = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="KIND", help="Only events of this kind, such as task-failed; may be repeated.", show_default=False),
]


@app.command()
def tail(
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what comes, until interrupted.")] = False,
    count: Annotated[int, typer.Option("-n", "--count", min=0, max=100_000, help="Begin with this many of the last events.")] = 10,
    begin: From = None,
    task_id: Id = None,
    kind: Kind = None,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Show the last events of the log, and with -f those that come."""
    with opened(url, view) as tracker, Stream(output) as stream:
        log, info = tracker.log, tracker.log.info(tracker.settings.connect_timeout)
        chosen = Filter(log, info, task_id, kind)
        if begin:
            what = logread.stretch(log, info, begin=[logread.place(text) for text in begin], end=(), partitions=chosen.partitions)
            partitions: Sequence[int] = list(what.starts)
            for found in logread.read(log, what):
                chosen.show(stream, found)
        else:
            partitions = chosen.partitions
            for found in logread.last(log, info, partitions, count, chosen.wants):
                chosen.show(stream, found)
        if follow:
            stream.flush()
            for batch in logread.follow(log, {partition: info.ends[partition] for partition in partitions}):
                for found in batch:
                    chosen.show(stream, found)
                stream.flush()


@app.command()
def cat(
    *,
    begin: From = None,
    end: To = None,
    task_id: Id = None,
    kind: Kind = None,
    url: Url = None,
    view: View = None,
    output: Output = Format.JSONL,
) -> None:
    """Print events of the log, all of them or a stretch: one JSON object per line.

    Each holds partition, offset, log_time and the event as recorded; a record that is no event has "event": null, its bytes and the reason.
    Order is that of the log within each partition.
    """
    with opened(url, view) as tracker, Stream(output) as stream:
        log, info = tracker.log, tracker.log.info(tracker.settings.connect_timeout)
        chosen = Filter(log, info, task_id, kind)
        places = [[logread.place(text) for text in texts or ()] for texts in (begin, end)]
        for found in logread.read(log, logread.stretch(log, info, begin=places[0], end=places[1], partitions=chosen.partitions)):
            chosen.show(stream, found)


@app.command()
def append(*, url: Url = None, view: View = None, output: Output = None) -> None:
    """Append events given as JSON lines on standard input, all or nothing, and print where each stands.

    Every line is checked before the first is written. `kind` and `task_id` (or `group_id`) are required; `time` is now unless given.
    """
    with opened(url, view) as tracker:
        problems, events = read_events(sys.stdin.buffer, tracker.settings.max_value_bytes)
        if problems:
            for problem in problems[:20]:
                say(one_line(problem))
            complain(f"nothing was appended, for {len(problems)} line(s) are no events (see above)")
            raise typer.Exit(ExitCode.USAGE)
        recorder = tracker.recorder()
        positions: list[str] = []
        try:
            futures = [recorder.append(event) for event in events]
            positions.extend(str(settled(future, event.subject)) for future, event in zip(futures, events, strict=True))
        except EventResultsError:
            say(f"The log took {len(positions)} of {len(events)} events for certain. With an event_id each, append them all again.")
            raise
    rows = [{"position": at, "kind": event.kind, "id": event.subject} for at, event in zip(positions, events, strict=True)]
    print_rows(rows, output=output, columns=("position", "kind", "id"))


class Filter:
    """Which records to show, and showing them."""

    def __init__(self, log: Log, info: LogInfo, task_id: str | None, kinds: Sequence[str] | None) -> None:
        self._key = None if task_id is None else key_of(task_id)
        self._kinds = frozenset(kinds or ())
        self.partitions: Sequence[int] = sorted(info.starts) if self._key is None else [log.partition_for(self._key)]
        for kind in sorted(self._kinds - EVENT_CLASSES.keys()):
            say(f"Note: {kind!r} is no kind that this version knows{did_you_mean(kind, EVENT_CLASSES)}")

    def wants(self, record: Record) -> bool:
        """Whether this record is to be shown."""
        if self._key is not None and record.key != self._key:
            return False
        return not self._kinds or self._kind(records.record_row(0, record)) in self._kinds

    def show(self, stream: Stream, found: Found) -> None:
        """Show it, if it is wanted."""
        if self._key is not None and found.record.key != self._key:
            return
        row = records.record_row(found.partition, found.record)
        if not self._kinds or self._kind(row) in self._kinds:
            stream.row(row, records.record_line(row))

    @staticmethod
    def _kind(row: dict[str, Any]) -> str | None:
        return None if row["event"] is None else row["event"].get("kind")
