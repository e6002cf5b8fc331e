"""`eventresults topic`: making the topic as it must be, and checking one that exists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol, runtime_checkable

import typer

from eventresults.cli.connection import opened
from eventresults.cli.exits import ExitCode
from eventresults.cli.options import Output, Url, View
from eventresults.cli.output import Row, print_one, print_rows
from eventresults.cli.terminal import say
from eventresults.cli.times import duration
from eventresults.errors import TopicMisconfigured
from eventresults.log.base import Log
from eventresults.log.topic import Problem, TopicDescription

app = typer.Typer(no_args_is_help=True, help="Create and check the topic.")

SHOWN = (
    "cleanup.policy",
    "message.timestamp.type",
    "max.message.bytes",
    "retention.ms",
    "retention.bytes",
    "min.insync.replicas",
    "unclean.leader.election.enable",
)
COLUMNS = ("severity", "setting", "have", "want", "why")


@runtime_checkable
class Topic(Protocol):
    """A log that lives in a topic, which somebody has to create."""

    def create_topic(self, *, partitions: int, replication: int | None, retention: float | None) -> TopicDescription:
        """Create it as it must be."""

    def describe_topic(self) -> TopicDescription:
        """What the broker says of it."""

    def check_topic(self) -> Sequence[Problem]:
        """What is wrong with it."""


@app.command()
def init(
    *,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="How many partitions, for good: 1 unless set here or configured.", show_default=False)
    ] = None,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, help="How many replicas of each; what the broker does by default unless set.", show_default=False)
    ] = None,
    retention: Annotated[
        float | None,
        typer.Option(
            parser=duration,
            metavar="TIME",
            help="How long records are kept: 90d; 0 for ever. At least result_expires and a day.",
            show_default=False,
        ),
    ] = None,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Create the topic with the settings that no fact can be lost or reordered by."""
    with opened(url, view) as tracker:
        log: Log = tracker.log
        if isinstance(log, Topic):
            settings = tracker.settings
            wanted = partitions or settings.partitions or 1
            made = log.create_topic(partitions=wanted, replication=replication_factor or settings.replication_factor, retention=retention)
            if made.partitions != wanted:
                raise _other_partitions(made, wanted)
            row: Row = {
                "topic": made.topic,
                "partitions": made.partitions,
                "replication": made.replication,
                **{name: made.config.get(name) for name in SHOWN},
            }
        else:
            info = log.info(tracker.settings.connect_timeout)
            say(f"{log.url} is no topic: it makes itself at its first use.")
            row = {"log": log.url, "partitions": info.partitions}
    print_one(row, output=output)


@app.command()
def check(*, url: Url = None, view: View = None, output: Output = None) -> None:
    """Compare the topic's settings with what they must be, and explain each that is wrong. Exit 1 if one is.

    A warning, such as a single replica, is no error: it is shown, and changes no exit code.
    """
    with opened(url, view) as tracker:
        problems = problems_of(tracker.log, tracker.settings.connect_timeout)
    print_rows([problem_row(problem) for problem in problems], output=output, columns=COLUMNS)
    if any(problem.severity == "error" for problem in problems):
        raise typer.Exit(ExitCode.FAILED)
    if not problems:
        say("The topic is as it should be.")


def _other_partitions(made: TopicDescription, wanted: int) -> TopicMisconfigured:
    problem = f"it exists with {made.partitions} partitions, not {wanted}"
    return TopicMisconfigured(
        f"Topic {made.topic}: {problem}. More partitions in place would send a task's later facts elsewhere: make a topic of another "
        "name, let writers move there, and read the old one until its tasks have ended",
        topic=made.topic,
        problems=[problem],
    )


def problems_of(log: Log, timeout: float) -> Sequence[Problem]:
    """What is wrong with the log's topic; nothing, for a log without one that answers. Raises `LogUnavailable`, `TopicMisconfigured`."""
    if isinstance(log, Topic):
        return log.check_topic()
    log.info(timeout)
    return ()


def problem_row(problem: Problem) -> Row:
    """One problem as a row."""
    return {"severity": problem.severity, "setting": problem.setting, "have": problem.have, "want": problem.want, "why": problem.why}
