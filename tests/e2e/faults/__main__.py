"""`make soak`: rounds of faults until the time is up; prints each round's name and what came of it, and exits 1 on any violation.

python -m tests.e2e.faults --seconds 3600 --seed 7     # the same seed draws the same rounds
python -m tests.e2e.faults --round kafka:12345         # one round again
python -m tests.e2e.faults --only host --only group    # rounds of some kinds
"""

from __future__ import annotations

import argparse
import logging
import random
import secrets
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.e2e.faults.report import Report, summary, tell
from tests.e2e.faults.run import run_round
from tests.e2e.faults.stages import STAGES, on


def soak(seconds: float, seed: int, keep: Path | None, *, only: Sequence[str], kills: int) -> list[Report]:
    """Rounds until the time is up and so many owners were killed, or until a signal ends the one under way."""
    chance, deadline = random.Random(seed), time.monotonic() + seconds
    stages = [name for name in STAGES if name in (only or STAGES)]
    reports: list[Report] = []
    with suppress(KeyboardInterrupt):
        while time.monotonic() < deadline or sum(one.kills["owner"] for one in reports) < kills:
            (stage,) = chance.choices(stages, [STAGES[name].weight for name in stages])
            reports.append(one_round(stage, chance.randrange(10**6), keep))
    return reports


def one_round(stage: str, seed: int, keep: Path | None, *, verbose: bool = False) -> Report:
    begun, name = time.monotonic(), f"{stage}:{seed}"

    def say(what: str) -> None:
        if verbose:
            print(f"{time.monotonic() - begun:8.2f} {what}", flush=True)

    report = Report(name)
    try:
        with on(stage, seed, say) as scene:
            kind = STAGES[stage]
            report = run_round(scene, kind.draw(scene), name=name, finale=kind.draw_finale(scene))
            if report.violations and keep is not None:
                shutil.copytree(scene.folder, keep / f"round-{stage}-{seed}", dirs_exist_ok=True)
    except Exception:
        report.violations.append(f"the round broke off: {traceback.format_exc()}")
    tell(report, flushed)
    return report


def flushed(line: str) -> None:
    print(line, flush=True)


def round_of(text: str) -> tuple[str, int]:
    stage, _, seed = text.rpartition(":")
    if stage not in STAGES:
        raise argparse.ArgumentTypeError(f"{text!r} is no round: STAGE:SEED, the stage one of {', '.join(STAGES)}")
    return stage, int(seed)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--kills", type=int, default=0, help="go on until so many owners were killed")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--round", type=round_of, default=None, help="STAGE:SEED of one round, to have it again")
    parser.add_argument("--only", action="append", choices=list(STAGES), default=[], help="rounds of this kind; may be repeated")
    parser.add_argument("--keep", type=Path, default=None, help="a folder for what bad rounds leave")
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # also in the background: nobody is left behind
    logging.disable(logging.CRITICAL)  # what this process is told, verifying amid all harm, is raised as well
    if given.round is not None:
        reports = [one_round(*given.round, given.keep, verbose=True)]
    else:
        seed = secrets.randbelow(10**6) if given.seed is None else given.seed
        flushed(f"seed {seed}")
        reports = soak(given.seconds, seed, given.keep, only=given.only, kills=given.kills)
    sys.exit(0 if summary(reports, flushed) else 1)


if __name__ == "__main__":
    main()
