"""The whole command, noun by noun. A noun's file is imported when one of its commands is asked for, and not to be listed."""

from __future__ import annotations

from collections import UserDict
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from eventresults.cli.exits import EPILOG
from eventresults.cli.terminal import write


class Part(NamedTuple):
    """A command, or a noun and those below it: where it is, and the first sentence of its help."""

    file: str
    name: str
    summary: str


PARTS = {
    "doctor": Part("doctor", "doctor", "Check Python, dependencies, configuration, log, topic, view, disk and clock."),
    "demo": Part("demo", "demo", "Run about 1,800 real tasks and ask everything about them."),
    "state": Part("state", "state", "Show the whole system at a moment: how many tasks were in which state, and the newest of them."),
    "replay": Part(
        "replay",
        "replay",
        "Tell a stretch of the log again: as JSON lines (default), into another log, or to a fold of its own in a scratch view.",
    ),
    "serve": Part("serve", "serve", "Own the view and serve it: REST, server-sent events, a WebSocket, health and metrics, until SIGTERM."),
    "healthcheck": Part("serve", "healthcheck", "Ask a service whether it is ready, as container health checks do."),
    "task": Part("task", "app", "Show, wait for, forget and revoke tasks."),
    "events": Part("events", "app", "Read the log, follow it, and append to it."),
    "topic": Part("topic", "app", "Create and check the topic."),
    "view": Part("view", "app", "Look at the view, rebuild it, verify it, keep snapshots of it."),
    "projection": Part("projection", "app", "Read projections: folds of your own, run beside the view."),
    "outbox": Part("outbox", "app", "Facts that wait for the log in files."),
    "audit": Part("audit", "app", "Prove that the log was not altered: sign it, verify it, prove single events."),
    "privacy": Part("privacy", "app", "Keep private data private: keys, erasing a subject, trying policies out."),
    "archive": Part("archive", "app", "Keep every event in Parquet files, and ask them anything."),
    "schema": Part("schema", "app", "The schema of events."),
    "config": Part("configuration", "app", "The configuration in force."),
}


class Commands(UserDict[str, Any]):
    """The parts as commands, each made when it is asked for; the help of each ends with the exit codes."""

    def __getitem__(self, name: str) -> Any:
        """Import what does it. Raises KeyError for a name that is none."""
        part: Part = self.data[name]
        found = getattr(import_module(f"eventresults.cli.{part.file}"), part.name)
        around = _typer()
        if isinstance(found, typer.Typer):
            around.add_typer(found, name=name, cls=Noun)
        else:
            around.command(name)(found)
        made = typer.main.get_group(around).commands[name]
        _explain_exits(made)
        return made


class Noun(TyperGroup):
    """`eventresults task` and its like: the help says of each command what its own help says first, to the end of the sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the context is the base class's
        """What the help says of each."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_sentence(command.help or "")) for name, command in self.commands.items()])


class Whole(TyperGroup):
    """`eventresults`: lists its parts without importing them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Commands(PARTS)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the context is the base class's
        """Their names, in the order of the help."""
        return list(PARTS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - likewise
        """What the help says of each."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, part.summary) for name, part in PARTS.items()])


def _typer(**settings: Any) -> typer.Typer:
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, **settings)


app = _typer(cls=Whole, no_args_is_help=True, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})


def command() -> Any:
    """The command to run."""
    return typer.main.get_command(app)


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].removesuffix(".") + "."


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
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow to import, for one option

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
