"""What a large view costs, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

from benchmarks.bench import Bench


def grown(tasks: int) -> Callable[[Bench], Iterator[tuple[str, float]]]:
    """One of so many tasks."""

    def measure(_: Bench) -> Iterator[tuple[str, float]]:
        command = [sys.executable, "-m", "benchmarks.growth", f"--tasks={tasks}"]
        for line in subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines():
            name, _tab, figure = line.partition("\t")
            yield name, float(figure)

    return measure
