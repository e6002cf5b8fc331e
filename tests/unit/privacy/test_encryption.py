"""Values are sealed by their subject's key, read where the keys are, and gone once the key is."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

import eventresults
from eventresults import AsyncResult
from eventresults.client.decoding import PLAIN, Unsealing
from eventresults.errors import ConfigError, ReplayRefused, UnknownSubject, ValueErased, ValueSealed
from eventresults.privacy.encryption import ERASED, Encryption
from eventresults.privacy.guard import WITHHELD
from eventresults.privacy.keyring import Keyring
from eventresults.privacy.opening import NO_KEYS
from eventresults.privacy.sealing import MasterKey, Unsealable, make_master_key

SECRET = "a very private value"


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    make_master_key(tmp_path / "master.key")
    return Keyring(tmp_path / "keyring", MasterKey.load(tmp_path / "master.key"))


class Shop:
    """A tracker that encrypts, and a look at what its log holds."""

    def __init__(self, keyring: Keyring, **options: Any) -> None:
        self.keyring = keyring
        options = {"subject": "kwargs.customer_id", **options}
        self.tracker = eventresults.connect("memory://", encrypt=Encryption(keyring=keyring, **options))
        self.recorder = self.tracker.recorder()

    def result(self, task_id: str) -> AsyncResult:
        return AsyncResult(task_id, app=self.tracker)

    def written(self) -> str:
        [poll] = self.tracker.log.reader({0: 0}).poll(0).values()
        return "\n".join(record.value.decode() for record in poll.records)


@pytest.fixture
def shop(keyring: Keyring):
    made = Shop(keyring)
    yield made
    made.tracker.close()


def test_values_are_encrypted_in_the_log_and_read_where_the_keys_are(shop: Shop):
    # given
    shop.recorder.sent("t", name="bill", args=[SECRET], kwargs={"customer_id": 7, "note": SECRET})
    shop.recorder.updated("t", meta={"step": SECRET})
    progress = shop.result("t").progress
    shop.recorder.succeeded("t", result={"text": SECRET, "pair": (1, 2)})
    # then
    assert SECRET not in shop.written()
    assert "bill" in shop.written()
    result = shop.result("t")
    assert result.get(timeout=5) == {"text": SECRET, "pair": (1, 2)}
    assert (result.args, result.kwargs) == ([SECRET], {"customer_id": 7, "note": SECRET})
    assert progress == {"step": SECRET}
    assert result.get(timeout=5, as_type=dict[str, Any])["text"] == SECRET


def test_an_error_keeps_its_class_and_hides_the_rest(shop: Shop):
    # given
    shop.recorder.sent("t", kwargs={"customer_id": 7})
    shop.recorder.failed("t", error=ValueError(SECRET, 3), traceback=f"Traceback: {SECRET}")
    # then
    assert SECRET not in shop.written()
    error = json.loads(shop.written().splitlines()[-1])["error"]
    assert (error["type"], error["message"]) == ("ValueError", "(encrypted)")
    result = shop.result("t")
    with pytest.raises(ValueError, match=SECRET) as caught:
        result.get(timeout=5)
    assert caught.value.args == (SECRET, 3)
    assert SECRET in result.traceback


def test_an_executor_works_on_encrypted_tasks(keyring: Keyring):
    shop = Shop(keyring, subject=lambda name, args, kwargs: None if args is None else str(args[0]))
    with shop.tracker, shop.tracker.executor(max_workers=1) as pool:
        sent = pool.submit(pow, 2, 10)
        assert sent.get(timeout=5) == 1024
        assert "1024" not in shop.written()
        keyring.erase("2")
        with pytest.raises(ValueErased):
            shop.result(sent.id).get(timeout=5)


def test_a_recorded_call_is_run_again_where_the_keys_are_and_until_they_are_erased(keyring: Keyring):
    shop = Shop(keyring, subject="args.0")
    with shop.tracker, shop.tracker.executor(max_workers=1) as pool:
        sent = pool.submit(pow, 2, 10)
        assert sent.get(timeout=5) == 1024
        assert pool.replay(sent.id, pow).get(timeout=5) == 1024
        keyring.erase("2")
        with pytest.raises(ValueErased):
            pool.replay(sent.id, pow)
        late = pool.submit(pow, 2, 3)
        with pytest.raises(ReplayRefused, match="private"):
            pool.replay(late.id, pow)


def test_an_erased_subject_is_unreadable_and_others_are_not(shop: Shop):
    # given
    for customer in (7, 8):
        shop.recorder.sent(f"t{customer}", kwargs={"customer_id": customer})
        shop.recorder.succeeded(f"t{customer}", result=SECRET)
    assert shop.result("t7").get(timeout=5) == SECRET
    # when
    key_id = shop.keyring.erase("7")
    # then
    erased = shop.result("t7")
    assert (erased.state, erased.exists(), erased.name) == ("SUCCESS", True, None)
    with pytest.raises(ValueErased, match="destroyed") as caught:
        erased.get(timeout=5)
    assert caught.value.key_id == key_id
    with pytest.raises(ValueErased):
        _ = erased.args, erased.kwargs
    assert shop.result("t8").get(timeout=5) == SECRET
    # and so is what comes later of it
    shop.recorder.sent("late", kwargs={"customer_id": 7})
    shop.recorder.succeeded("late", result=SECRET)
    assert shop.result("late").get(timeout=5) == ERASED
    assert SECRET not in shop.written()
    # and once more changes nothing
    assert shop.keyring.erase("7") == key_id


def test_whoever_has_another_keyring_object_of_the_same_folder_cannot_read_it_either(shop: Shop, tmp_path: Path):
    other = Keyring(shop.keyring.folder, MasterKey.load(tmp_path / "master.key"))
    key_id, key = other.key_for("7")
    assert shop.keyring.key_for("7") == (key_id, key)
    other.erase("7")
    assert shop.keyring.key_for("7") == (key_id, None)
    with pytest.raises(ValueErased):
        shop.keyring.key(key_id)


def test_without_keys_a_value_is_known_to_be_encrypted_and_everything_else_is_read(shop: Shop):
    shop.recorder.sent("t", name="bill", kwargs={"customer_id": 7})
    shop.recorder.succeeded("t", result=SECRET)
    meta = shop.tracker.read("t")
    assert meta.name == "bill"
    with pytest.raises(ValueSealed, match="encrypt="):
        Unsealing(PLAIN, NO_KEYS).value(meta.result)


def test_another_master_key_reads_nothing(shop: Shop, tmp_path: Path):
    key_id, _ = shop.keyring.key_for("7")
    make_master_key(tmp_path / "other.key")
    stranger = Keyring(shop.keyring.folder, MasterKey.load(tmp_path / "other.key"))
    with pytest.raises(ValueSealed, match="another master key"):
        stranger.key(key_id)
    with pytest.raises(ValueSealed, match="another master key"):
        stranger.key_for("7")


def test_an_altered_value_is_no_value(shop: Shop):
    shop.recorder.sent("t", kwargs={"customer_id": 7})
    shop.recorder.succeeded("t", result=SECRET)
    wire = dict(shop.tracker.read("t").result)
    key_id, _, body = wire["body"].partition(".")
    for altered in (f"{key_id}.{'A' + body[1:]}", f"{key_id}.", f"{key_id}.!", "nothing", f"{'0' * 32}.{body}", f"../../etc.{body}"):
        with pytest.raises(ValueSealed):
            shop.tracker.opener.wire({**wire, "body": altered})
    with pytest.raises(ValueSealed):
        shop.tracker.opener.wire({**wire, "encoding": "rot13"})


def test_a_task_whose_subject_is_not_known_goes_by_the_fallback_or_is_withheld(keyring: Keyring, caplog):
    with Shop(keyring).tracker as tracker:
        tracker.recorder().succeeded("t", result=SECRET)
        assert AsyncResult("t", app=tracker).get(timeout=5) == SECRET
        keyring.erase("unknown")
        with pytest.raises(ValueErased):
            AsyncResult("t", app=tracker).get(timeout=5)
    shop = Shop(keyring, fallback=None)
    with shop.tracker, caplog.at_level(logging.ERROR):
        shop.recorder.succeeded("t", result=SECRET)
        assert shop.result("t").get(timeout=5) == WITHHELD
        assert SECRET not in shop.written()
        assert "SubjectNotKnown" in caplog.text


def test_a_keyring_that_cannot_be_used_withholds_and_says_why(keyring: Keyring, caplog):
    shop = Shop(keyring)
    key_id, _ = keyring.key_for("7")
    (keyring.folder / key_id).write_text("{")
    with shop.tracker:
        shop.recorder.sent("t", kwargs={"customer_id": 7})
        assert shop.tracker.read("t").kwargs == WITHHELD
        assert str(keyring.folder) in caplog.text


def test_a_rule_that_fails_withholds(keyring: Keyring, caplog):
    def rule(name, args, kwargs):
        raise RuntimeError(SECRET)

    shop = Shop(keyring, subject=rule)
    with shop.tracker:
        shop.recorder.sent("t", kwargs={"customer_id": SECRET})
        assert SECRET not in shop.written()
        assert SECRET not in caplog.text
        assert "withheld" in caplog.text


class Vault:
    """A key management service that forgets."""

    def __init__(self) -> None:
        self.keys: dict[bytes, bytes] = {}
        self.down = False

    def wrap(self, key: bytes, context: bytes) -> bytes:
        if self.down:
            raise ConnectionError("the vault is down")
        self.keys[context] = key
        return b"handle"

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        if self.down:
            raise ConnectionError("the vault is down")
        if context not in self.keys:
            raise Unsealable
        return self.keys[context]


def test_a_key_management_service_may_keep_the_keys_and_while_it_is_down_values_are_withheld(tmp_path: Path, caplog):
    vault = Vault()
    shop = Shop(Keyring(tmp_path / "keyring", vault))
    with shop.tracker:
        shop.recorder.sent("t", kwargs={"customer_id": 7})
        shop.recorder.succeeded("t", result=SECRET)
        assert shop.result("t").get(timeout=5) == SECRET
        vault.down = True
        shop.recorder.sent("u", kwargs={"customer_id": 8})
        shop.recorder.succeeded("u", result=SECRET)
        assert shop.result("u").get(timeout=5) == WITHHELD
        assert "ConnectionError" in caplog.text


def test_a_subject_that_nobody_knows_cannot_be_erased(keyring: Keyring):
    with pytest.raises(UnknownSubject):
        keyring.erase("nobody")


def test_a_key_file_is_cut_short_by_nothing_and_names_no_subject(keyring: Keyring):
    key_id, _ = keyring.key_for("ada@example.org")
    files = sorted(path.name for path in keyring.folder.iterdir())
    assert files == sorted([key_id, "salt"])
    assert "ada" not in (keyring.folder / key_id).read_text()
    (keyring.folder / key_id).write_text('{"v": 1')
    with pytest.raises(ValueSealed, match="cannot be read"):
        keyring.key(key_id)


@pytest.mark.parametrize("text", ["", "no base64!", "YWJj"])
def test_a_file_that_is_no_master_key_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="no master key"):
        MasterKey.load(path)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        MasterKey.load(path)


def test_a_missing_extra_is_an_error_at_once_with_its_cure(keyring: Keyring, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(ConfigError, match=r"pip install 'eventresults\[audit\]'"):
        Encryption(keyring=keyring, subject="args.0")


def test_policies_are_read_from_files(tmp_path: Path):
    make_master_key(tmp_path / "master.key")
    (tmp_path / "encrypt.toml").write_text('keyring = "keys"\nkey_file = "master.key"\nsubject = ["kwargs.customer_id", "args.0"]\n')
    (tmp_path / "redact.toml").write_text('keys = ["password"]\nhash_key_file = "master.key"\n[tasks."pay"]\npaths = ["kwargs.card"]\n')
    with eventresults.connect("memory://", redact=str(tmp_path / "redact.toml"), encrypt=tmp_path / "encrypt.toml") as tracker:
        recorder = tracker.recorder()
        recorder.sent("t", name="pay", args=[7], kwargs={"password": 1, "card": 2, "n": 3})
        kwargs = AsyncResult("t", app=tracker).kwargs
        assert kwargs["n"] == 3
        assert kwargs["password"].startswith("[redacted:")
        assert kwargs["card"].startswith("[redacted:")
        assert (tmp_path / "keys").is_dir()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("redact", "keys = 7", "list of texts"),
        ("redact", "kyes = []", "misspelt"),
        ("redact", "keys = [", "TOML"),
        ("redact", "[tasks]\npay = 7", "'pay'"),
        ("redact", 'patterns = ["("]', "no regular expression"),
        ("encrypt", 'keyring = "k"', "must name"),
        ("encrypt", 'keyring = "k"\nkey_file = "nowhere"\nsubject = "args.0"', "privacy keygen"),
        ("encrypt", "keyring = 1", "is a text"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_at_once(tmp_path: Path, name: str, text: str, says: str):
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(ConfigError, match=says):
        eventresults.connect("memory://", **{name: tmp_path / "policy.toml"})


def test_the_subject_of_a_task_is_known_at_its_end_however_many_others_came_between(keyring: Keyring, monkeypatch):
    monkeypatch.setattr("eventresults.privacy.guard.REMEMBERED", 3)
    shop = Shop(keyring)
    with shop.tracker as tracker, tracker.executor(max_workers=1) as pool:
        results = [pool.submit(lambda customer_id: SECRET, customer_id=customer) for customer in range(10)]
        with tracker.run("long", kwargs={"customer_id": "z"}, task_id="long") as task:
            assert [result.get(timeout=5) for result in results] == [SECRET] * 10
            task.result = SECRET
        for customer in (0, "z"):
            keyring.erase(str(customer))
        with pytest.raises(ValueErased):
            shop.result(results[0].id).get(timeout=5)
        with pytest.raises(ValueErased):
            shop.result("long").get(timeout=5)
        with pytest.raises(UnknownSubject):
            keyring.erase("unknown")
