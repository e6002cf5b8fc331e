"""A client: looks for new tasks, awaits the result of each and prints it.

Exits 0 once it has seen as many as asked for, 1 if they do not come in time.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime

import eventresults

LOOK_SECONDS = 0.2


def main() -> int:
    """See so many results; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=int, nargs="?", default=20, help="how many to wait for")
    parser.add_argument("--timeout", type=float, default=60.0, help="for how many seconds")
    given = parser.parse_args()

    begun, deadline = datetime.now(UTC), time.monotonic() + given.timeout
    seen: set[str] = set()
    with eventresults.connect() as tracker:
        while time.monotonic() < deadline:
            for meta in tracker.tasks(name="thumbnail", since=begun, limit=given.results):
                if meta.task_id in seen:
                    continue
                result = tracker.AsyncResult(meta.task_id)
                value = result.get(timeout=max(deadline - time.monotonic(), 0), propagate=False)
                kinds = " ".join(event.kind for event in result.history())
                print(f"{result.id} {meta.args} {result.state} {value!r} ({kinds})", flush=True)
                seen.add(result.id)
                if len(seen) >= given.results:
                    return 0
            time.sleep(LOOK_SECONDS)
    print(f"{len(seen)} of {given.results} results came within {given.timeout:g} seconds", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
