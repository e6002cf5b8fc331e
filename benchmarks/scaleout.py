"""`python -m benchmarks.scaleout [--tasks N] [--members 1 2]`: how fast so many members of a consumer group fold one topic."""

from __future__ import annotations

import argparse
import itertools
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack

import eventresults
from benchmarks.machine import facts as machine_facts
from benchmarks.measures import fill
from benchmarks.work import facts
from eventresults import bootstrap
from eventresults.config import load_settings
from tests.support.kafka import KafkaCluster

PARTITIONS = 8
CLIENT = "confluent"


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def fold(url: str, members: int, events: int) -> float:
    """Events folded per second by all members together, from a tenth of the topic to nine tenths."""
    group = f"bench-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="eventresults-bench-"))
        for number in range(members):
            command = [sys.executable, "-m", "eventresults", "serve", "--url", url, "--view", home, "--group", group]
            command += ["--instance-id", f"m{number}", "--port", str(free_port())]
            process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            stack.callback(process.kill)
        tracker = stack.enter_context(eventresults.connect(url, view="group", group=group, connect_timeout=60))
        seen: list[tuple[float, int]] = []
        while not seen or seen[-1][1] < events:
            found = tracker.view_stats()
            if len(found["members"]) == members:
                seen.append((time.perf_counter(), sum(one["position"] for one in found["partitions"])))
            time.sleep(0.1)
    middle = [(at, folded) for at, folded in seen if events * 0.1 < folded < events * 0.9]
    (begun, first), (ended, last) = middle[0], middle[-1]
    return (last - first) / (ended - begun)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaleout", description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    for name, value in machine_facts().items():
        print(f"{name:<16} {value}")
    with KafkaCluster(jvm_options=()) as kafka:
        kafka.create_topic("bench", PARTITIONS, {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "16777216"})
        url = f"{kafka.url('bench')}?client={CLIENT}"
        log = bootstrap.make_log(load_settings(url))
        fill(log, facts(options.tasks))
        log.close()
        for _, members in itertools.product(range(options.rounds), options.members):
            print(f"{members} member(s): {fold(url, members, 3 * options.tasks):>10,.0f} events/s", flush=True)


if __name__ == "__main__":
    main()
