"""The notary goes on where it was, over a log that still is what it signed; and it is alone."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime, timedelta

import pytest

from eventresults.audit.ledger import Ledger, OpenLedger
from eventresults.audit.published import PublishedCheckpoints
from eventresults.audit.signing import Signer, load_public, make_key
from eventresults.audit.source import LogSource
from eventresults.audit.succession import trusted
from eventresults.audit.verify import verify
from eventresults.domain.position import Position
from eventresults.errors import AppendTimeout, ChainBroken, ConfigError, LedgerCorrupt, NotaryConflict
from eventresults.log.memory import MemoryLog
from tests.unit.audit.conftest import Scene

MOMENTS = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number) for number in range(9)]


def numbers(scene: Scene) -> list[tuple[int, int, int]]:
    return [(one.checkpoint.number, one.checkpoint.first, one.checkpoint.next) for one in Ledger(scene.folder).checkpoints()]


def test_a_checkpoint_is_due_after_so_many_records_or_so_much_time(scene: Scene):
    with OpenLedger(scene.folder) as ledger, scene.notary(ledger, interval=5.0) as notary:
        notary.open()
        scene.append(12)
        assert [(one.first, one.next) for one in notary.step(1)] == [(0, 10)]
        scene.clock[0] = 4.9
        assert notary.step(0) == []
        scene.clock[0] = 5.0
        assert [(one.first, one.next) for one in notary.step(0)] == [(10, 12)]
        assert notary.step(0) == []


def test_after_a_restart_it_goes_on_as_if_it_had_never_stopped(scene: Scene):
    scene.append(15)
    scene.notarize()
    scene.append(10)
    scene.notarize()
    assert numbers(scene) == [(0, 0, 10), (1, 10, 15), (2, 15, 25)]
    assert scene.verify().ok


def test_what_was_altered_under_it_is_not_signed_over(scene: Scene):
    scene.append(25)
    scene.notarize()
    scene.sql("UPDATE records SET value = x'00' WHERE offset = 22")
    scene.append(5)
    with pytest.raises(ChainBroken, match="0:22 was altered") as caught:
        scene.notarize()
    assert (caught.value.partition, caught.value.offset) == (0, 22)
    assert len(numbers(scene)) == 3


def test_a_log_that_lost_its_tail_is_not_signed_over(scene: Scene):
    scene.append(25)
    scene.notarize()
    scene.sql("DELETE FROM records WHERE offset >= 23")
    with pytest.raises(ChainBroken, match="0:23"):
        scene.notarize()


def test_a_tail_that_is_lost_and_grows_anew_while_it_runs_is_not_signed_over(scene: Scene):
    scene.log = log = MemoryLog()
    writer = log.writer()

    def append(count: int, text: str) -> None:
        for number in range(count):
            writer.append(b"k", f"{text}{number}".encode()).result(1)

    append(10, "a")
    with pytest.raises(ChainBroken, match="lost records") as caught, OpenLedger(scene.folder) as ledger, scene.notary(ledger) as notary:
        notary.open()
        assert len(notary.step(0)) == 1
        log.lose_from(Position(0, 5))
        append(20, "b")
        notary.step(0)
    assert caught.value.partition == 0


def test_the_last_signed_record_is_looked_at_again_before_each_signing(scene: Scene):
    with OpenLedger(scene.folder) as ledger, scene.notary(ledger) as notary:
        notary.open()
        scene.append(10)
        assert notary.step(1)
        scene.sql("UPDATE records SET value = x'00' WHERE offset = 9")
        scene.append(10)
        with pytest.raises(ChainBroken, match="another record at 0:9"):
            notary.step(1)


def test_a_checkpoint_that_a_kill_cut_short_is_signed_again(scene: Scene):
    # given a last line without an end, and links that no checkpoint covers
    scene.append(15)
    scene.notarize()
    file = scene.folder / "checkpoints.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-30])
    # when it is read as it is, and gone on with
    assert numbers(scene) == [(0, 0, 10)]
    assert scene.verify().partitions[0].unsigned == 5
    scene.notarize()
    # then
    assert numbers(scene) == [(0, 0, 10), (1, 10, 15)]
    assert scene.verify().ok


def test_links_that_were_lost_are_made_again_for_the_last_stretch(scene: Scene):
    scene.append(15)
    scene.notarize()
    (scene.folder / "links" / "0").unlink()
    scene.append(2)
    scene.notarize()
    found = {one.checkpoint.number: Ledger(scene.folder).entries(one.checkpoint) is not None for one in Ledger(scene.folder).checkpoints()}
    assert found == {0: False, 1: True, 2: True}
    assert scene.verify().ok


def test_two_notaries_do_not_write_one_ledger(scene: Scene):
    with OpenLedger(scene.folder), pytest.raises(NotaryConflict, match="Stop one"):
        OpenLedger(scene.folder)


@pytest.mark.parametrize("damage", ["altered", "removed", "swapped", "garbage", "other key"])
def test_a_ledger_that_was_meddled_with_is_neither_trusted_nor_gone_on_with(scene: Scene, damage: str):
    # given
    scene.append(40)
    scene.notarize()
    file = scene.folder / "checkpoints.jsonl"
    lines = file.read_text().splitlines()
    match damage:
        case "altered":
            lines[1] = lines[1].replace('"count":10', '"count":9').replace('"size":20', '"size":19')
        case "removed":
            del lines[1]
        case "swapped":
            lines[1] = re.sub(r'"signature":"[^"]*"', json.dumps({"signature": json.loads(lines[2])["signature"]})[1:-1], lines[1])
        case "garbage":
            lines[1] = "{"
        case "other key":
            make_key(scene.home / "other")
            scene.keys = load_public([scene.home / "other.pub"])
            scene.signer = Signer.load(scene.home / "other")
    file.write_text("\n".join(lines) + "\n")
    # then
    with pytest.raises(LedgerCorrupt) as caught:
        scene.verify()
    assert "checkpoints.jsonl:" in caught.value.place
    with pytest.raises(LedgerCorrupt):
        scene.notarize()


def test_a_new_key_goes_on_from_an_old_one_that_it_trusts(scene: Scene):
    scene.append(10)
    scene.notarize()
    make_key(scene.home / "new")
    old, scene.signer = scene.keys, Signer.load(scene.home / "new")
    scene.append(10)
    scene.notarize(trusted=old)
    scene.keys = load_public([f"{scene.key}.pub", scene.home / "new.pub"])
    assert scene.verify().ok


def test_a_log_made_anew_is_another_log(scene: Scene):
    scene.append(10)
    scene.notarize()
    scene.sql("UPDATE about SET log_id = 'another'")
    scene.log.close()
    scene.log = type(scene.log)(scene.home / "events.db")
    with pytest.raises(ChainBroken, match="another log"):
        scene.verify()
    with pytest.raises(ChainBroken, match="another log"):
        scene.notarize()


def test_what_retention_took_is_counted_and_the_rest_is_verified(scene: Scene):
    # given 3 checkpoints, and a log that begins within the second
    scene.append(30)
    scene.notarize()
    scene.log.delete_before(Position(0, 14))
    # then: 10 in the first are gone; of the second's, those that are left are compared one by one
    (partition,) = scene.verify().partitions
    assert (partition.ok, partition.gone, partition.verified) == (True, 14, 16)
    (partition,) = scene.verify(links=False).partitions
    assert (partition.ok, partition.gone, partition.verified) == (True, 20, 10)
    # when
    scene.sql("UPDATE records SET value = x'00' WHERE offset = 17")
    # then
    assert scene.verify().partitions[0].difference.offset == 17
    # and the notary goes on, as far as it can see
    scene.append(5)
    assert scene.notarize() == 1


def test_records_that_retention_took_before_they_were_signed_are_not_passed_over(scene: Scene):
    scene.append(10)
    scene.notarize()
    scene.append(10)
    scene.log.delete_before(Position(0, 15))
    with pytest.raises(ChainBroken, match="nobody signed"):
        scene.notarize()


def test_a_log_with_holes_is_signed_and_verified(scene: Scene):
    scene.log = log = MemoryLog()
    writer = log.writer()
    for number in range(30):
        writer.append(b"k", b"%d" % number)
        log.leave_hole(0, number % 3)
    assert scene.notarize() == 3
    (partition,) = scene.verify().partitions
    assert (partition.ok, partition.verified) == (True, 30)


class Elsewhere:
    """A log for checkpoints beside the scene."""

    def __init__(self, scene: Scene) -> None:
        self.log = MemoryLog()
        self.scene = scene

    def open(self) -> PublishedCheckpoints:
        return PublishedCheckpoints(self.log, self.scene.keys)

    def notarize(self, folder: str = "ledger") -> int:
        self.scene.folder = self.scene.home / folder
        with self.open() as published:
            return self.scene.notarize(published=published)

    def verify(self):
        source = LogSource(self.scene.log, timeout=1)
        return verify(
            source, trusted(self.open().checkpoints(source.log_id), self.scene.keys, log_id=source.log_id, url=source.url), time=""
        )


def test_a_ledger_that_is_gone_comes_back_from_what_was_published(scene: Scene):
    elsewhere = Elsewhere(scene)
    scene.append(25)
    elsewhere.notarize("lost")
    scene.append(10)
    assert elsewhere.notarize("new") == 1
    assert numbers(scene) == [(0, 0, 10), (1, 10, 20), (2, 20, 25), (3, 25, 35)]
    assert elsewhere.verify().ok


def test_a_log_and_a_ledger_that_were_cut_together_are_found_by_what_was_published(scene: Scene):
    elsewhere = Elsewhere(scene)
    scene.append(10)
    elsewhere.notarize()
    early = (scene.folder / "checkpoints.jsonl").read_bytes()
    scene.append(10)
    elsewhere.notarize()
    scene.sql("DELETE FROM records WHERE offset >= 10")
    (scene.folder / "checkpoints.jsonl").write_bytes(early)
    assert scene.verify().ok  # by the ledger alone, nothing is wrong
    difference = elsewhere.verify().partitions[0].difference
    assert (difference.kind, difference.offset) == ("cut", 10)
    with pytest.raises(ChainBroken):
        elsewhere.notarize()


def test_of_two_notaries_with_ledgers_of_their_own_one_is_told_and_what_both_signed_truly_is_no_forgery(scene: Scene, caplog):
    # given
    elsewhere = Elsewhere(scene)
    scene.append(10)
    with (
        OpenLedger(scene.home / "a") as first, OpenLedger(scene.home / "b") as second, elsewhere.open() as one, elsewhere.open() as other,
        scene.notary(first, published=one) as early, scene.notary(second, published=other, every=7) as late,
    ):  # fmt: skip
        early.open()
        late.open()
        # when both sign number 0
        early.step(1)
        with pytest.raises(NotaryConflict, match="came first"):
            late.step(1)
    # then nothing forked: the late one kept nothing, and can go on from what the early one signed
    assert elsewhere.verify().ok
    with caplog.at_level(logging.WARNING):
        assert elsewhere.notarize("b") == 0
    assert "another notary" in caplog.text
    assert numbers(scene) == [(0, 0, 10)]


def test_a_checkpoint_of_what_never_was_beside_the_true_one_is_a_forgery(scene: Scene):
    # given a log that was published, and another history of it, signed by the same key
    elsewhere = Elsewhere(scene)
    scene.append(10)
    elsewhere.notarize()
    truth = scene.log.read(Position(0, 3), 1).value
    scene.sql("UPDATE records SET value = x'00' WHERE offset = 3")
    scene.folder = scene.home / "forged"
    scene.notarize()
    (forged,) = Ledger(scene.folder).checkpoints()
    # when it is published beside the true one
    elsewhere.log.writer().append(f"{forged.checkpoint.log}/0".encode(), forged.line)
    # then either way one of the two is found
    assert not elsewhere.verify().ok
    scene.sql(f"UPDATE records SET value = x'{truth.hex()}' WHERE offset = 3")
    with pytest.raises(LedgerCorrupt, match="Two different checkpoints"):
        elsewhere.verify()


def test_what_strangers_publish_is_passed_over(scene: Scene):
    elsewhere = Elsewhere(scene)
    scene.append(10)
    elsewhere.notarize()
    log_id = scene.log.info(1).log_id
    for value in (b"", b"{}", b'{"checkpoint":{},"key":"","signature":""}'):
        elsewhere.log.writer().append(f"{log_id}/0".encode(), value)
    assert elsewhere.verify().ok


def test_a_private_key_that_others_may_read_is_refused(scene: Scene):
    scene.key.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        Signer.load(scene.key)


def test_a_key_is_made_for_its_user_alone_and_replaces_none(scene: Scene):
    assert scene.key.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="exists"):
        make_key(scene.key)
    with pytest.raises(ConfigError, match="no private key"):
        Signer.load(_private(scene, "not a key"))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_public([scene.home / "nowhere.pub"])


def _private(scene: Scene, text: str):
    path = scene.home / "other.key"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_checkpoint_that_could_not_be_published_is_the_one_that_is_tried_again(scene: Scene):
    # given a log for checkpoints that takes the first, and says that it may have not
    elsewhere = Elsewhere(scene)
    scene.append(25)

    class Hesitant(PublishedCheckpoints):
        refused = 0

        def publish(self, signed):
            super().publish(signed)
            self.refused += 1
            if self.refused == 1:
                raise AppendTimeout("it may or may not be there")

    with (
        OpenLedger(scene.folder) as ledger, Hesitant(elsewhere.log, scene.keys) as published,
        scene.notary(ledger, published=published, clock=iter(MOMENTS).__next__) as notary,
    ):  # fmt: skip
        notary.open()
        with pytest.raises(AppendTimeout):
            notary.step(1)
        # when
        notary.step(0)
        notary.finish()
    # then
    assert numbers(scene) == [(0, 0, 10), (1, 10, 20), (2, 20, 25)]
    assert elsewhere.verify().ok
