"""Another process that owns a view."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

OWNER = """
import sys, time, eventresults
tracker = eventresults.connect(sys.argv[1], read_timeout=7200, connect_timeout=60)
tracker.read("-")
print("owns", flush=True)
time.sleep(7200)
"""


@contextmanager
def owner(url: str) -> Iterator[subprocess.Popen[str]]:
    """Once it is entered, the view of this log has been folded; left, the process is killed."""
    with subprocess.Popen([sys.executable, "-c", OWNER, url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "owns\n"
            yield process
        finally:
            process.kill()
