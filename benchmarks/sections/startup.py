"""What a new process waits for."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.bench import Bench

TRIES = 3

IMPORTED = """
import time
begun, begun_cpu = time.perf_counter(), time.process_time()
import eventresults
print((time.perf_counter() - begun) * 1000, (time.process_time() - begun_cpu) * 1000)
from eventresults import *
print((time.process_time() - begun_cpu) * 1000)
"""


def startup(_: Bench) -> Iterator[tuple[str, float]]:
    """The import alone, and a whole command, the interpreter's own start included; each the least of several."""
    walls, cpus, all_cpus = zip(*(_import() for _ in range(TRIES)), strict=True)
    yield "import eventresults, ms", min(walls)
    yield "import eventresults, ms of the processor", min(cpus)
    yield "every public name, ms of the processor", min(all_cpus)
    walls, cpus = zip(*(_help() for _ in range(TRIES)), strict=True)
    yield "eventresults --help, ms", min(walls)
    yield "eventresults --help, ms of the processor", min(cpus)


def _import() -> list[float]:
    said = subprocess.run([sys.executable, "-c", IMPORTED], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [float(one) for one in said.split()]


def _help() -> tuple[float, float]:
    begun, begun_cpu = time.perf_counter(), _cpu_of_children()
    subprocess.run([sys.executable, "-m", "eventresults", "--help"], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begun) * 1000, (_cpu_of_children() - begun_cpu) * 1000


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
