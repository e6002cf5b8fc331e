"""What a contestant is asked, and how it answers: one line of JSON, the last one on its standard output.

Runs in every peer's environment, so it needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Job:
    """Fold these events of this topic into an empty state in this folder, which is the contestant's own."""

    bootstrap: str
    topic: str
    partitions: int
    events: int
    folder: Path

    def arguments(self) -> list[str]:
        """As the programs take them."""
        return [f"--{name}={value}" for name, value in asdict(self).items()]


def asked(parser: argparse.ArgumentParser) -> tuple[Job, argparse.Namespace]:
    """The job of this process, and what else its parser knows."""
    for name, kind in (("bootstrap", str), ("topic", str), ("partitions", int), ("events", int), ("folder", Path)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    options = parser.parse_args()
    return Job(**{name: getattr(options, name) for name in Job.__dataclass_fields__}), options


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What it took, from the first event folded to the last one durable: seconds of the clock, and of the processor (user + system)."""

    events: int
    wall: float
    cpu: float
    #: Of the final state, see `sameness`: equal for all that did the same work.
    checksum: str
    #: The most memory that the process ever held, in MiB.
    peak_mib: float = 0.0

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.wall

    @property
    def rate_per_cpu(self) -> float:
        """Events per second of the processor's time."""
        return self.events / self.cpu


class Watch:
    """Measures the time of this process. Starts at the first `start`; later ones are not heard."""

    def __init__(self) -> None:
        self._begun: tuple[float, float] | None = None
        self._took = (0.0, 0.0)

    def start(self) -> None:
        """The first event is about to be folded."""
        if self._begun is None:
            self._begun = _now()

    def stop(self) -> None:
        """The last one is durable."""
        assert self._begun is not None, "nothing was folded"
        wall, cpu = _now()
        self._took = wall - self._begun[0], cpu - self._begun[1]

    def answer(self, events: int, checksum: str) -> None:
        """Say it."""
        wall, cpu = self._took
        peak = _peak_kib() / 1024
        print(json.dumps(asdict(Answer(events=events, wall=wall, cpu=cpu, checksum=checksum, peak_mib=peak))), flush=True)


def _now() -> tuple[float, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime


def _peak_kib() -> int:
    """The most memory that this process had; `ru_maxrss` begins with what the process had that started it."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
