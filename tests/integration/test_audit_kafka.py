"""A topic is signed and verified as any log is, its checkpoints published in another topic."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eventresults.audit.ledger import Ledger, OpenLedger
from eventresults.audit.notary import Notary
from eventresults.audit.proof import prove
from eventresults.audit.published import PublishedCheckpoints
from eventresults.audit.signing import Signer, load_public, make_key
from eventresults.audit.source import LogSource
from eventresults.audit.succession import trusted
from eventresults.audit.verify import verify
from eventresults.domain.position import Position
from eventresults.errors import ChainBroken, NotaryConflict
from eventresults.log.confluent import ConfluentLog
from eventresults.log.kafka import KafkaLog
from tests.support.kafka.polling import poll

pytestmark = pytest.mark.kafka
ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from eventresults.cli import main; main()"]


def fill(log, count: int) -> None:
    writer = log.writer()
    futures = [writer.append(f"task-{number}".encode(), b'{"number":%d}' % number) for number in range(count)]
    for future in futures:
        future.result(30)
    writer.close()


@pytest.mark.parametrize("client", [KafkaLog, ConfluentLog])
def test_a_topic_is_signed_verified_and_proven_by_either_client(kafka, make_topic, tmp_path, client):
    # given
    log, checkpoints = client(kafka.bootstrap, make_topic(partitions=3)), client(kafka.bootstrap, make_topic())
    make_key(tmp_path / "key")
    signer, keys = Signer.load(tmp_path / "key"), load_public([tmp_path / "key.pub"])
    fill(log, 100)
    # when
    with (
        OpenLedger(tmp_path / "ledger") as ledger, PublishedCheckpoints(checkpoints, keys) as published,
        Notary(log, ledger, signer, published=published, every=20) as notary,
    ):  # fmt: skip
        notary.open()
        list(notary.catch_up(notary.ends))
        notary.finish()
    # then by what was published alone
    source = LogSource(log, timeout=10)
    with PublishedCheckpoints(checkpoints, keys) as published:
        chains = trusted(published.checkpoints(source.log_id), keys, log_id=source.log_id, url=source.url)
    report = verify(source, chains, time="")
    assert report.ok
    assert sum(one.verified for one in report.partitions) == 100
    assert len(report.partitions) == 3
    # and one record of it
    prove(source, chains, Position(1, 3), ledger=Ledger(tmp_path / "ledger")).check(keys)
    # and a second notary with another ledger is stopped by what it meets
    fill(log, 60)
    with (
        OpenLedger(tmp_path / "a") as first, OpenLedger(tmp_path / "b") as second,
        PublishedCheckpoints(checkpoints, keys) as one, PublishedCheckpoints(checkpoints, keys) as other,
        Notary(log, first, signer, published=one) as early, Notary(log, second, signer, published=other, every=5) as late,
    ):  # fmt: skip
        early.open()
        late.open()
        list(early.catch_up(early.ends))
        early.finish()
        with pytest.raises(NotaryConflict):
            list(late.catch_up(late.ends))
    log.close()
    checkpoints.close()


def test_the_notary_signs_as_records_come_and_what_is_left_when_it_is_told_to_stop(kafka, make_topic, tmp_path):
    # given a notary that follows
    topic, checkpoints = (f"kafka://{kafka.bootstrap}/{make_topic()}" for _ in range(2))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "EVENTRESULTS_URL": topic}

    def shell(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments], input=stdin, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60, check=False
        )

    def append(*names: str) -> None:
        done = shell("events", "append", stdin="\n".join(json.dumps({"kind": "task-sent", "task_id": name}) for name in names))
        assert done.returncode == 0, done.stderr

    assert shell("audit", "keygen", "key").returncode == 0
    arguments = ["audit", "notary", "--key", "key", "--every", "2", "--publish", checkpoints, "--interval", "1h"]
    with subprocess.Popen([*COMMAND, *arguments], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "Signing" in process.stderr.readline()
        append("a", "b", "c")
        # when it is told to stop
        poll(lambda: any(file.stat().st_size for file in tmp_path.glob("*.ledger/checkpoints.jsonl")), timeout=30, what="a checkpoint")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    # then what was still unsigned is signed
    done = shell("audit", "verify", "--public", "key.pub", "--published", checkpoints)
    assert done.returncode == 0, done.stderr
    (partition,) = json.loads(done.stdout)["report"]["partitions"]
    assert (partition["signed"], partition["checkpoints"], partition["unsigned"]) == (3, 2, 0)


def test_what_retention_took_is_counted_and_a_topic_made_anew_is_another_log(kafka, make_topic, tmp_path):
    # given
    topic = make_topic()
    log = ConfluentLog(kafka.bootstrap, topic)
    make_key(tmp_path / "key")
    signer, keys = Signer.load(tmp_path / "key"), load_public([tmp_path / "key.pub"])
    ledger = Ledger(tmp_path / "ledger")

    def notarize() -> None:
        with OpenLedger(ledger.folder) as kept, Notary(log, kept, signer, every=10) as notary:
            notary.open()
            list(notary.catch_up(notary.ends))
            notary.finish()

    def verified():
        source = LogSource(log, timeout=10)
        return verify(source, trusted(ledger.checkpoints(), keys, log_id=source.log_id, url=source.url), ledger=ledger, time="")

    fill(log, 30)
    notarize()
    # when
    kafka.delete_records(topic, {0: 14})
    fill(log, 5)
    notarize()
    # then
    [partition] = verified().partitions
    assert (partition.ok, partition.signed, partition.gone, partition.verified) == (True, 35, 14, 21)
    log.close()
    # when
    kafka.delete_topic(topic)
    kafka.create_topic(topic, 1, {"message.timestamp.type": "LogAppendTime"})
    log = ConfluentLog(kafka.bootstrap, topic)
    fill(log, 35)
    # then
    with pytest.raises(ChainBroken, match="another log"):
        verified()
    with pytest.raises(ChainBroken, match="another log"):
        notarize()
    log.close()
