"""The archiver as a process of its own: `python -m consumers.archiver`, as `eventresults archive run`."""

from __future__ import annotations

import sys
from typing import NoReturn

from eventresults.cli.entry import program


def main() -> NoReturn:
    """Archive until SIGTERM; exits with the codes of `eventresults.cli.exits`."""
    program(["archive", "run", *sys.argv[1:]])


if __name__ == "__main__":
    main()
