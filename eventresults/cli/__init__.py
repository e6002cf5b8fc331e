"""The command line: `eventresults NOUN VERB`. One file per noun; data on stdout, everything else on stderr."""

from __future__ import annotations

from typing import NoReturn


def main() -> NoReturn:
    """The `eventresults` command: runs it and exits with one of the codes of `eventresults.cli.exits`."""
    from eventresults.cli.entry import main as enter  # noqa: PLC0415 - the demo's task processes import this package for its task alone

    enter()
