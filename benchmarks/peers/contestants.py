"""All who fold the same topic: us with either client, and our peers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers import environments
from benchmarks.peers.environments import REPOSITORY, Unavailable
from benchmarks.peers.job import Answer, Job

FOLD_SECONDS = 600.0


class Contestant(NamedTuple):
    """One who folds. `prepare` installs what it needs and gives its command; it raises `Unavailable`."""

    name: str
    prepare: Callable[[], Sequence[str]]

    def fold(self, command: Sequence[str], job: Job) -> Answer:
        """Do this job in a process of its own. Raises `Unavailable` when that fails."""
        try:
            done = subprocess.run(
                [*command, *job.arguments()], cwd=REPOSITORY, capture_output=True, text=True, timeout=FOLD_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"it did not end within {FOLD_SECONDS:g} s") from error
        if done.returncode:
            raise Unavailable(f"it ended with {done.returncode}: {' '.join(done.stderr.splitlines()[-3:])[-500:]}")
        return Answer(**json.loads(done.stdout.splitlines()[-1]))


def _ours(client: str) -> Contestant:
    return Contestant(f"eventresults, {client}", lambda: [sys.executable, "-m", "benchmarks.peers.ours", f"--client={client}"])


def _streams(changelog: str) -> Contestant:
    def prepare() -> Sequence[str]:
        command = environments.java("kafka_streams", Path(__file__).with_name("kafka_streams"))
        return [*command, "benchmark.Fold", f"--changelog={changelog}"]

    return Contestant(f"Kafka Streams, changelog {changelog}", prepare)


def _python(name: str, module: str, requirements: Sequence[str], *options: str) -> Contestant:
    def prepare() -> Sequence[str]:
        return [str(environments.python(module, requirements)), "-m", f"benchmarks.peers.{module}", *options]

    return Contestant(name, prepare)


QUIX = ("quixstreams==3.28.1",)
BYTEWAX = ("bytewax[kafka]==0.21.1", "rocksdict==0.3.29", "orjson==3.13.0")
CONFLUENT, KAFKA_PYTHON = _ours("confluent"), _ours("kafka-python")
STREAMS_ON, STREAMS_OFF = _streams("on"), _streams("off")
BYTEWAX_SINK = _python("Bytewax, batch sink", "bytewax_rocksdict", BYTEWAX)
OURS = (CONFLUENT, KAFKA_PYTHON)
PEERS = (
    STREAMS_ON,
    STREAMS_OFF,
    _python("Quix Streams, changelog on", "quix", QUIX, "--changelog=on"),
    _python("Quix Streams, changelog off", "quix", QUIX, "--changelog=off"),
    BYTEWAX_SINK,
)
