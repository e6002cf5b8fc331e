"""`python -m benchmarks.scaleout [--tasks N] [--rounds N]`: does a second member of a consumer group fold twice as much?

Each member is held to a core of its own: one member on one core against two on two, in turn. They share the partitions of an empty topic,
are stopped while it is filled, and go on at the same moment; the time counts until nine tenths are folded. Where there are no more cores
than members, the broker that they read from has to run on theirs: so what it takes is shown, and in a third case the one member shares
its core with the broker, as the two must. That is one core's worth of all the work against two cores' worth. Whatever else runs on the
machine takes from all; what a member folds in a second that it has the processor for stands beside, and is the same then.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import facts as machine_facts
from benchmarks.raw import produce
from benchmarks.work import facts
from tests.support.kafka import KafkaCluster

PARTITIONS = 8
CLIENT = "confluent"
GOAL = 1.8
TICKS = os.sysconf("SC_CLK_TCK")
READY_SECONDS = 90.0
#: A member as the service has one, without the service; it says how far it is in a file.
MEMBER = """
import sys, time
from pathlib import Path
from eventresults import bootstrap
from eventresults.config import load_settings
from eventresults.service.member import Member
from eventresults.service.places import FolderPlace
url, group, number, home = sys.argv[1:]
settings = load_settings(url)
log = bootstrap.make_log(settings)
member = Member(
    bootstrap.group_log(settings, log), FolderPlace(Path(home) / number, bootstrap.make_stores(settings)), group=group,
    address=f"http://127.0.0.1:{number}", instance_id=number, session_timeout=60.0,
)
with open(f"{home}/{number}.said", "w") as said:
    while True:
        heads = member.heads
        said.write(f"{time.monotonic()} {len(heads)} {sum(head.next_offset for head in heads.values())}\\n")
        said.flush()
        time.sleep(0.1)
"""


class Case(NamedTuple):
    """Which core each member is held to, and which ones the broker may use."""

    what: str
    members: Sequence[int]
    broker: Sequence[int]


class Seen(NamedTuple):
    """One case, measured: events per second, and processor seconds per second of each member and of the broker."""

    rate: float
    members: Sequence[float]
    broker: float

    def __str__(self) -> str:
        members = " and ".join(f"{one:.2f}" for one in self.members)
        each = self.rate / sum(self.members)
        return f"{self.rate:>8,.0f} events/s   {each:>8,.0f} per processor second   used: members {members}, broker {self.broker:.2f}"


class Report(NamedTuple):
    """What a member says of itself."""

    at: float
    partitions: int
    folded: int


def hold(pid: int, cores: Sequence[int]) -> None:
    """All threads of this process to these cores."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def broker_of_ours() -> int:
    """The process that the harness started."""
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit():
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == os.getpid() and b"kafka.Kafka" in (folder / "cmdline").read_bytes():
                    return int(folder.name)
        except OSError:  # it ended meanwhile
            continue
    raise SystemExit("The broker's process was not found.")


def spent(pid: int) -> float:
    """Processor seconds that this process has had so far."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / TICKS


def fold(kafka: KafkaCluster, case: Case, records: Sequence[tuple[bytes, bytes]], broker: int, *, partitions: int = PARTITIONS) -> Seen:
    """From the moment that the members go on until nine tenths are folded."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(name, partitions, {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "16777216"})
    hold(broker, case.broker)
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="eventresults-bench-"))
        members, said = [], []
        for number, core in enumerate(case.members, 1):
            command = ["taskset", "--cpu-list", str(core), sys.executable, "-c", MEMBER, f"{kafka.url(name)}?client={CLIENT}"]
            member = stack.enter_context(subprocess.Popen([*command, name, str(number), home], stderr=subprocess.DEVNULL))
            stack.callback(member.kill)
            members.append(member.pid)
            said.append(Path(home) / f"{number}.said")
        share = partitions // len(members)
        wait(lambda: all(one.exists() and (now := last(one)) is not None and now.partitions == share for one in said))
        for member in members:
            os.kill(member, signal.SIGSTOP)
        produce(kafka.bootstrap, name, records)
        pids = [*members, broker]
        before = [spent(pid) for pid in pids]
        begun = time.monotonic()
        for member in members:
            os.kill(member, signal.SIGCONT)
        enough = len(records) * 0.9
        wait(lambda: sum(report.folded for one in said if (report := last(one))) >= enough)
        work = [after - then for after, then in zip((spent(pid) for pid in pids), before, strict=True)]
        looked = time.monotonic() - begun
        ended = reached([reports(one) for one in said], enough)
    *mine, brokers = (seconds / looked for seconds in work)
    return Seen(enough / (ended - begun), mine, brokers)


def reports(said: Path) -> list[Report]:
    """All that a member said, but for a line that it is writing."""
    lines = said.read_text().split("\n")[:-1]
    return [Report(float(at), int(partitions), int(folded)) for at, partitions, folded in map(str.split, lines)]


def last(said: Path) -> Report | None:
    """What it said last."""
    found = reports(said)
    return found[-1] if found else None


def reached(said: Sequence[Sequence[Report]], enough: float) -> float:
    """When all of them together had folded so many."""
    latest = [0] * len(said)
    for at, who, folded in sorted((report.at, who, report.folded) for who, one in enumerate(said) for report in one):
        latest[who] = folded
        if sum(latest) >= enough:
            return at
    raise AssertionError("not yet")


def wait(for_what: Callable[[], bool]) -> None:
    """Look five times a second; SystemExit when it takes too long."""
    deadline = time.monotonic() + READY_SECONDS
    while not for_what():
        if time.monotonic() > deadline:
            raise SystemExit(f"The members were not as far in {READY_SECONDS:g} s: is the machine busy?")
        time.sleep(0.2)


def shown(cores: Sequence[int]) -> str:
    """For people."""
    return f"core {cores[0]}" if len(cores) == 1 else "cores " + " and ".join(map(str, cores))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaleout", description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for name, value in machine_facts().items():
        print(f"{name:<16} {value}")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("Two members need two cores.")
    one, two, *others = cores
    cases = [Case("one member", [one], others or cores), Case("two members", [one, two], others or cores)]
    if not others:
        cases.append(Case("one member with the broker", [one], [one]))
    for case in cases:
        print(f"{case.what}: held to {shown(case.members)}; the broker to {shown(case.broker)}")
    print()
    records = [(fact.task_id.encode(), fact.value) for fact in facts(options.tasks)]
    with KafkaCluster(jvm_options=()) as kafka:
        broker = broker_of_ours()
        found: dict[str, list[Seen]] = {case.what: [] for case in cases}
        for _ in range(options.rounds):
            for case in cases:
                found[case.what].append(seen := fold(kafka, case, records, broker))
                print(f"{case.what:<28} {seen}", flush=True)
    medians = {what: statistics.median(seen.rate for seen in some) for what, some in found.items()}
    print()
    each = {what: statistics.median(seen.rate / sum(seen.members) for seen in some) for what, some in found.items()}
    for what, rate in medians.items():
        ratio = "" if what == "two members" else f"   two members fold {medians['two members'] / rate:.2f} ×"
        print(f"{what:<28} {rate:>8,.0f} events/s   {each[what]:>8,.0f} per processor second (medians){ratio}")
    print(f"goal: ≥ {GOAL} × on enough cores")


if __name__ == "__main__":
    main()
