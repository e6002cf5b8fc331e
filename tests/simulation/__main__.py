"""Many runs: `python -m tests.simulation --seeds 100000 --first 0`, or `--seconds 600`; exits 1 when one of them found something."""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import time

from tests.simulation.world import World, WorldOfManyLogs, run

MOST_TOLD = 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=None)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    begun, bad, done = time.monotonic(), 0, 0
    for seed in itertools.count(given.first):
        if done == given.seeds or (given.seconds is not None and time.monotonic() - begun > given.seconds):
            break
        done += 1
        try:
            run(seed, (World, WorldOfManyLogs)[seed % 2])
        except Exception as error:
            bad += 1
            if bad <= MOST_TOLD:
                print(f"seed {seed}: {error!r}", flush=True)
    print(f"{done} runs in {time.monotonic() - begun:.1f} s, {bad} found something")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
