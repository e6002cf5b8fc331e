"""The command line is documented, and the documentation does not lie."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from eventresults.cli import reference
from eventresults.cli.app import PARTS, command
from eventresults.cli.entry import run
from eventresults.cli.exits import MEANINGS

README = Path(__file__).parents[2] / "README.md"
COMMANDS = dict(reference.commands())
PATHS = {path: tuple(word for word in path.split() if word.islower()) for path in COMMANDS}

EXPECTED = {
    "demo",
    "state",
    "replay",
    "doctor",
    "serve", "healthcheck",
    "task show", "task diff", "task list", "task history", "task wait", "task result", "task forget", "task revoke",
    "events tail", "events cat", "events append",
    "topic init", "topic check",
    "view stats", "view rebuild", "view restore", "view snapshot", "view verify",
    "projection list", "projection get", "projection items",
    "outbox status", "outbox flush",
    "audit keygen", "audit notary", "audit status", "audit verify", "audit prove", "audit check",
    "privacy keygen", "privacy erase", "privacy preview",
    "archive run", "archive query", "archive ask", "archive report",
    "archive status", "archive verify", "archive compact", "archive repair",
    "archive iceberg",
    "schema export",
    "config show",
}  # fmt: skip


def _options(command):
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts) if name.startswith("-")}


def test_these_are_the_commands():
    assert {" ".join(words) for words in PATHS.values()} == EXPECTED


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_of_every_command_runs_and_tells_its_options_and_the_exit_codes(path, capsys):
    assert run([*PATHS[path], "--help"]) == 0
    shown = capsys.readouterr().out
    command = COMMANDS[path]
    for option in _options(command):
        assert option in shown
    for code, meaning in MEANINGS.items():
        assert f"{code}  {meaning}" in shown


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_option_says_what_it_does(path):
    command = COMMANDS[path]
    assert command.help
    assert command.help.split("\n")[0].rstrip().endswith((".", ","))
    assert [parameter.name for parameter in command.params if not parameter.help] == []


@pytest.mark.parametrize("path", sorted(COMMANDS.keys() - {"serve", "healthcheck"}))
def test_every_command_takes_a_log_a_view_and_a_format(path):
    assert {"--url", "--view", "-o", "--output"} <= _options(COMMANDS[path])


def test_the_whole_help_runs(capsys):
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for words in PATHS.values():
        assert words[0] in shown


@pytest.mark.parametrize("name", PARTS)
def test_the_whole_help_says_of_each_what_its_own_help_says_first(name):
    assert " ".join(command().commands[name].help.split()).startswith(PARTS[name].summary)


@pytest.mark.parametrize("noun", [name for name, part in PARTS.items() if part.name == "app"])
def test_the_help_of_a_noun_says_of_each_command_what_its_own_help_says_first(noun, capsys):
    assert run([noun, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name, one in command().commands[noun].commands.items():
        first = " ".join(one.help.split()).partition(". ")[0]
        assert f"{name} {first}" in shown


def test_the_version_is_told(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("eventresults ")


def test_the_reference_names_every_command_once():
    text = reference.markdown()
    for path in COMMANDS:
        assert text.count(f"| `eventresults {path}` |") == 1
    for code, meaning in MEANINGS.items():
        assert f"| {code.value} | {meaning} |" in text


@pytest.mark.skipif(not README.exists(), reason="there is no README here")
def test_the_readme_holds_the_reference_as_it_is():
    readme = README.read_text(encoding="utf-8")
    missing = [line for line in reference.markdown().splitlines() if line and line not in readme]
    assert missing == [], "put what eventresults.cli.reference.markdown() returns into the README"


@pytest.mark.skipif(not README.exists(), reason="there is no README here")
def test_every_command_that_the_readme_shows_exists_with_its_options():
    blocks = re.findall(r"```(?:console|bash|sh|shell)\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    shown = [line.partition(" #")[0].partition(" | ")[0] for line in lines if re.match(r"eventresults [a-z-]", line)]
    by_words = {words: COMMANDS[path] for path, words in PATHS.items()}
    for line in shown:
        words = shlex.split(line)[1:]
        if words[0].startswith("-"):
            continue
        command = by_words.get(tuple(words[:1])) or by_words.get(tuple(words[:2]))
        assert command is not None, f"{line}: no such command"
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given <= _options(command) | {"--help", "-h"}, f"{line}: no such option"
