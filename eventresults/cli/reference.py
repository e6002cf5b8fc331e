"""The commands as Markdown, made from the help itself, so that documentation can be compared with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eventresults.cli.exits import MEANINGS


def markdown() -> str:
    """A table of all commands with the first line of their help, and one of the exit codes."""
    lines = ["| Command | What it does |", "|---|---|"]
    lines += [f"| `eventresults {path}` | {_summary(command)} |" for path, command in commands()]
    lines += ["", "| Exit code | Meaning |", "|---|---|"]
    lines += [f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(lines) + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its words: ("task show", …)."""
    from eventresults.cli.app import command  # noqa: PLC0415 - the app imports the nouns, which need nothing of this

    yield from _walk(command(), ())


def _walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join((*words, _usage(command))).strip(), command
        return
    for name, child in below.items():
        if not child.hidden:
            yield from _walk(child, (*words, name))


def _usage(command: Any) -> str:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    return " ".join(_argument(parameter) for parameter in arguments)


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name.upper()) + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _summary(command: Any) -> str:
    return " ".join((command.help or "").split("\n\n")[0].split())
