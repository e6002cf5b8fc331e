"""What a new process waits for."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.bench import Bench

IMPORTED = """
import time
begun = time.perf_counter()
import eventresults
print((time.perf_counter() - begun) * 1000)
"""


def startup(_: Bench) -> Iterator[tuple[str, float]]:
    """The import alone, and a whole command, the interpreter's own start included."""
    done = subprocess.run([sys.executable, "-c", IMPORTED], check=True, stdout=subprocess.PIPE, text=True)
    yield "import eventresults, ms", float(done.stdout)
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "eventresults", "--help"], check=True, stdout=subprocess.DEVNULL)
    yield "eventresults --help, ms", (time.perf_counter() - begun) * 1000
