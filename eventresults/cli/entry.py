"""From the shell and back: arguments in, an exit code out, errors as one line on stderr."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import typer

from eventresults.cli.exits import ExitCode, code_of
from eventresults.cli.logs import logging_to_stderr
from eventresults.cli.terminal import complain, say
from eventresults.errors import EventResultsError

PROGRAM = "eventresults"
DEBUG = "EVENTRESULTS_DEBUG"


def main() -> NoReturn:
    """The `eventresults` command."""
    program(sys.argv[1:])


def program(arguments: Sequence[str]) -> NoReturn:
    """Be one command: a process that does nothing else."""
    relax_collector()
    sys.exit(run(arguments))


def relax_collector() -> None:
    """Look for cycles of garbage seldom, in a process that is ours alone.

    A poll of ten thousand records makes as many containers, which all go with it, and none is in a cycle. With CPython's thresholds it is
    looked through fourteen times, the whole process now and then, and that takes up to a tenth of a fold.
    """
    gc.set_threshold(100_000, 20, 50)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code (see `eventresults.cli.exits`). Raises nothing but SystemExit."""
    code: int = ExitCode.OK
    try:
        _perform(arguments)
    except typer.Exit as wanted:
        code = wanted.exit_code
    except BrokenPipeError:
        pass  # whoever read our output has enough (`| head`): no failure
    except (KeyboardInterrupt, typer.Abort):
        code = ExitCode.INTERRUPTED
    except typer.TyperException as error:
        code = _misused(error)
    except EventResultsError as error:
        code = _failed(error, str(error))
    except Exception as error:  # noqa: BLE001 - the last line before the shell
        code = _failed(error, f"{type(error).__name__}: {error} (this is a defect; {DEBUG}=1 shows where)")
    _finish_output()
    return code


def _perform(arguments: Sequence[str]) -> None:
    from eventresults.cli.app import command  # noqa: PLC0415 - an interrupt while importing is ours to handle, too

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter is no reason to fail
    whole = command()
    # Not `whole(…)`, which has answers of its own to a closed pipe and to errors.
    with logging_to_stderr(), whole.make_context(PROGRAM, list(arguments)) as context:
        whole.invoke(context)


def _misused(error: typer.TyperException) -> int:
    text = error.format_message()
    context = getattr(error, "ctx", None)
    if "\n" in text:  # a command without arguments answers with its help
        sys.stderr.write(text + "\n")
    else:
        complain(text + (f" (see {context.command_path} --help)" if context else ""))
    return error.exit_code


def _failed(error: Exception, text: str) -> int:
    if os.environ.get(DEBUG):
        say("".join(traceback.format_exception(error)))
    complain(text)
    return code_of(error)


def _finish_output() -> None:
    """Flush here, where a reader that left can be met, and not at the interpreter's end."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
