"""`make soak`: rounds of faults until the time is up; prints each round's seed and what came of it, and exits 1 on any violation.

python -m tests.e2e.faults --seconds 3600 --seed 7     # the same seed draws the same rounds
python -m tests.e2e.faults --round 12345               # one round again
"""

from __future__ import annotations

import argparse
import random
import secrets
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from tests.e2e.faults.actions import ON_ONE_HOST
from tests.e2e.faults.network_actions import ON_A_NETWORK, Network
from tests.e2e.faults.run import Report, middle, run_round, tell
from tests.e2e.faults.scene import Scene

ACTIONS = 15
#: Of so many rounds one has a small disk of its own, where that can be mounted, and one a network.
OTHERS = 5


def soak(seconds: float, seed: int, keep: Path | None) -> list[Report]:
    chance, deadline = random.Random(seed), time.monotonic() + seconds
    reports = []
    while time.monotonic() < deadline:
        reports.append(one_round(chance.randrange(10**6), keep))
    return reports


def one_round(seed: int, keep: Path | None, *, verbose: bool = False) -> Report:
    begun = time.monotonic()
    with Scene(seed, say=lambda what: verbose and print(f"{time.monotonic() - begun:8.2f} {what}", flush=True)) as scene:
        drawn = ON_ONE_HOST
        match scene.chance.randrange(OTHERS):
            case 0:
                scene.mount_small_disk()
            case 1:
                scene.network, drawn = Network(scene), ON_A_NETWORK
        actions = scene.chance.choices(list(drawn), list(drawn.values()), k=ACTIONS)
        report = run_round(scene, actions)
        if report.violations and keep is not None:
            shutil.copytree(scene.folder, keep / f"round-{seed}", dirs_exist_ok=True)
    tell(report, lambda line: print(line, flush=True))
    return report


def summary(reports: list[Report]) -> bool:
    """Say what came of all rounds; whether all is well."""
    actions = sum((one.actions for one in reports), Counter[str]())
    # A service that is started again takes as long as a process takes to start.
    takeovers = [seconds for one in reports if not one.actions["kill_service"] for seconds in one.takeovers]
    supersessions = [seconds for one in reports for seconds in one.supersessions]
    bad = [one.seed for one in reports if one.violations]
    print(f"{len(reports)} rounds, {sum(one.records for one in reports):,} records, {sum(one.fired for one in reports):,} promises fired")
    print(f"actions: {', '.join(f'{name} {number}' for name, number in actions.most_common())}")
    print(f"kills: {sum(one.kills for one in reports)}")
    for what, values in (("takeover of a dead owner", takeovers), ("of a stopped one", supersessions)):
        if values:
            print(f"{what}: {len(values)} times, {middle(values):.2f} s at the middle, {max(values):.2f} s at most")
    print(f"VIOLATIONS in rounds {bad}" if bad else "nothing was lost, told twice, or left hanging")
    return not bad


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--round", type=int, default=None, help="the seed of one round, to have it again")
    parser.add_argument("--keep", type=Path, default=None, help="a folder for what bad rounds leave")
    given = parser.parse_args()
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    if given.round is None:
        print(f"seed {seed}", flush=True)
    reports = [one_round(given.round, given.keep, verbose=True)] if given.round is not None else soak(given.seconds, seed, given.keep)
    sys.exit(0 if summary(reports) else 1)


if __name__ == "__main__":
    main()
