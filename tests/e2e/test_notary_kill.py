"""A notary that is killed at any instant leaves a ledger that verifies, and the next one goes on from there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from eventresults.audit.ledger import Ledger
from eventresults.audit.signing import load_public, make_key
from eventresults.audit.source import LogSource
from eventresults.audit.succession import trusted
from eventresults.audit.verify import verify
from eventresults.log.sqlite import SqliteLog
from tests.support.kafka.polling import poll

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from eventresults.cli import main; main()", "audit", "notary", "--key", "key", "--every", "3"]


def test_a_notary_that_is_killed_again_and_again_signs_everything_once(tmp_path: Path):
    # given
    make_key(tmp_path / "key")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "EVENTRESULTS_URL": "sqlite:///events.db", "HOME": str(tmp_path)}
    log = SqliteLog(tmp_path / "events.db")
    ledger = Ledger(tmp_path / "events.db.ledger")
    writer = log.writer()
    log.info(10)

    def append(count: int) -> None:
        for number in range(count):
            writer.append(b"task", b"%d" % number)
        assert writer.flush(30)

    def signed() -> int:
        return len(ledger.checkpoints()) if ledger.exists else 0

    # when
    for _ in range(3):
        before = signed()
        with subprocess.Popen([*COMMAND, "--publish", "sqlite:///checkpoints.db"], cwd=tmp_path, env=environment) as process:
            append(3_000)
            poll(lambda before=before: signed() > before + 5, timeout=60, what="some checkpoints", every=0.001)
            process.kill()
    thin = [sys.executable, "-m", "consumers.notary", "--key", "key", "--publish", "sqlite:///checkpoints.db", "--once"]
    last = subprocess.run(thin, cwd=tmp_path, env=environment, timeout=60, check=False)
    # then
    assert last.returncode == 0
    source = LogSource(log, timeout=10)
    report = verify(
        source,
        trusted(ledger.checkpoints(), load_public([tmp_path / "key.pub"]), log_id=source.log_id, url=source.url),
        ledger=ledger,
        time="",
    )
    [partition] = report.partitions
    assert (partition.ok, partition.verified, partition.unsigned) == (True, 9_000, 0)
    writer.close()
    log.close()
