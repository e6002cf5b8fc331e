"""The whole command, noun by noun."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from eventresults.cli import (
    archive,
    audit,
    configuration,
    demo,
    doctor,
    events,
    outbox,
    privacy,
    projection,
    replay,
    schema,
    serve,
    state,
    task,
    topic,
    view,
)
from eventresults.cli.exits import EPILOG
from eventresults.cli.terminal import write

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(task.app, name="task")
app.add_typer(events.app, name="events")
app.add_typer(topic.app, name="topic")
app.add_typer(view.app, name="view")
app.add_typer(projection.app, name="projection")
app.add_typer(outbox.app, name="outbox")
app.add_typer(audit.app, name="audit")
app.add_typer(privacy.app, name="privacy")
app.add_typer(archive.app, name="archive")
app.add_typer(schema.app, name="schema")
app.add_typer(configuration.app, name="config")
app.command()(doctor.doctor)
app.command()(demo.demo)
app.command()(state.state)
app.command()(replay.replay)
app.command()(serve.serve)
app.command()(serve.healthcheck)


def command() -> Any:
    """The command to run; the help of each of its parts ends with the exit codes."""
    whole = typer.main.get_command(app)
    _explain_exits(whole)
    return whole


def _explain_exits(one: Any) -> None:
    one.epilog = EPILOG
    for below in getattr(one, "commands", {}).values():
        _explain_exits(below)


def _version(asked: bool) -> None:
    if asked:
        write(f"eventresults {installed_version()}")
        raise typer.Exit


def installed_version() -> str:
    """The version of the installed package."""
    try:
        return version("eventresults")
    except PackageNotFoundError:
        return "(not installed)"


@app.callback()
def eventresults(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """Track tasks by their facts: ask what became of a task, read and follow the log, tend the view.

    Data goes to standard output, everything else to standard error.
    """
