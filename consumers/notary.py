"""The notary as a process of its own, which signs what the log holds: `python -m consumers.notary`, as `eventresults audit notary`."""

from __future__ import annotations

import sys
from typing import NoReturn

from eventresults.cli.entry import program


def main() -> NoReturn:
    """Sign until SIGTERM; exits with the codes of `eventresults.cli.exits`."""
    program(["audit", "notary", *sys.argv[1:]])


if __name__ == "__main__":
    main()
