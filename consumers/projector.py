"""The projector as a process of its own, which owns the view and serves it: `python -m consumers.projector`, as `eventresults serve`."""

from __future__ import annotations

import sys
from typing import NoReturn

from eventresults.cli.entry import program


def main() -> NoReturn:
    """Serve until SIGTERM; exits with the codes of `eventresults.cli.exits`."""
    program(["serve", *sys.argv[1:]])


if __name__ == "__main__":
    main()
