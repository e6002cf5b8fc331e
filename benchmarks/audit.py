"""How fast a log is signed and verified. `python -m benchmarks.audit [--tasks N]`; `python -m benchmarks` measures it too."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.work import facts, fill
from eventresults.audit.ledger import Ledger, OpenLedger
from eventresults.audit.notary import Notary
from eventresults.audit.signing import Signer, load_public, make_key
from eventresults.audit.source import LogSource
from eventresults.audit.succession import trusted
from eventresults.audit.verify import verify
from eventresults.log.base import Log
from eventresults.log.sqlite import SqliteLog


def sign_and_verify(log: Log, folder: Path) -> tuple[float, float]:
    """(events signed per second, events verified per second) of this log: both read all of it."""
    make_key(folder / "key")
    begun = time.perf_counter()
    with OpenLedger(folder / "ledger") as ledger, Notary(log, ledger, Signer.load(folder / "key")) as notary:
        notary.open()
        list(notary.catch_up(notary.ends))
        notary.finish()
    signed = time.perf_counter()
    source, ledger = LogSource(log, timeout=10), Ledger(folder / "ledger")
    report = verify(
        source,
        trusted(ledger.checkpoints(), load_public([folder / "key.pub"]), log_id=source.log_id, url=source.url),
        ledger=ledger,
        time="",
    )
    verified = time.perf_counter()
    assert report.ok
    events = sum(one.verified for one in report.partitions)
    return events / (signed - begun), events / (verified - signed)


def main() -> None:
    """Measure on SQLite."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks of three events each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="eventresults-bench-") as home:
        log = SqliteLog(Path(home) / "events.db")
        fill(log, facts(options.tasks))
        for number in range(3):
            folder = Path(home) / str(number)
            folder.mkdir()
            signed, verified = sign_and_verify(log, folder)
            print(f"signed {signed:,.0f} events/s, verified {verified:,.0f} events/s (≥ 200,000)", flush=True)
        log.close()


if __name__ == "__main__":
    main()
