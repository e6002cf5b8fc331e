"""`python -m eventresults.cli.heir`: owns a view as long as it is read, for processes that may not. Started by them; no command for people.

One line of JSON on standard input says everything (see `eventresults.service.heir`): neither arguments nor environment count.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from time import monotonic
from typing import Any, Final, NoReturn

from eventresults import bootstrap
from eventresults.cli.exits import ExitCode, code_of
from eventresults.cli.logs import logging_to_stderr
from eventresults.cli.terminal import complain
from eventresults.config import Settings
from eventresults.config.handover import take_over
from eventresults.errors import EventResultsError
from eventresults.log.own import OwnWrites
from eventresults.service.heir import Baton
from eventresults.service.held import Owned
from eventresults.service.host import HostFinder
from eventresults.view.listeners import Listeners

#: Between two looks whether anybody reads here.
LOOK_SECONDS: Final = 0.2
#: In the view's folder: what the last of them had to say while it served.
LOG: Final = "HEIR.log"


def main() -> int:
    """Own the view and serve it until it is another's, or nobody's concern; the exit code."""
    line = sys.stdin.buffer.readline()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if not line.endswith(b"\n"):
        return ExitCode.USAGE  # who sent it is gone
    said: dict[str, Any] = json.loads(line)
    signal.signal(signal.SIGTERM, _end)
    baton = Baton(said["baton"])
    os.set_inheritable(baton.number, False)
    with logging_to_stderr(), baton:
        try:
            serve(take_over(said["settings"]), baton, idle=said["idle"], silent=said["silent"])
        except Exception as error:  # noqa: BLE001 - the last line before the end of the process
            expected = isinstance(error, EventResultsError)
            reason = str(error) if expected else f"{type(error).__name__}: {error} (this is a defect)"
            baton.write(reason)
            complain(f"the process that was to own a view ends: {reason}")
            return code_of(error)
    return ExitCode.OK


def serve(settings: Settings, baton: Baton, *, idle: float, silent: int | None) -> None:
    """Own the view, unless another does by now. Raises what opening it does."""
    over = threading.Event()
    log = bootstrap.make_log(settings)
    place = bootstrap.make_place(settings, bootstrap.make_stores(settings))
    finder = HostFinder(
        log,
        place,
        OwnWrites(),
        lifetimes=bootstrap.lifetimes(settings),
        read_timeout=settings.read_timeout,
        projections=bootstrap.projections(settings),
    )
    try:
        held = finder.find(
            Listeners(),
            after=None,
            lost=None,
            deadline=monotonic() + settings.connect_timeout,
            on_lost=lambda _: over.set(),
            silent=silent,
        )
        try:
            baton.finish()
            if isinstance(held, Owned):
                _speak_into(bootstrap.view_folder(settings) / LOG)
                _wait_until_idle(held, over, idle)
        finally:
            held.close()
    finally:
        log.close()


def _wait_until_idle(owned: Owned, over: threading.Event, idle: float) -> None:
    read = monotonic()
    while not over.wait(LOOK_SECONDS):
        if owned.doorway is not None and owned.doorway.connections:
            read = monotonic()
        elif monotonic() - read > idle:
            return


def _speak_into(log: Path) -> None:
    """Let go of the standard error of who sent this: whoever reads that to its end would wait for as long as the view is read."""
    number = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    os.dup2(number, 2)
    os.close(number)


def _end(*_: object) -> NoReturn:
    sys.exit(ExitCode.OK)


if __name__ == "__main__":
    sys.exit(main())
