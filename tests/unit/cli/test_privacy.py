"""`eventresults privacy`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import eventresults
from eventresults import AsyncResult
from eventresults.errors import ValueErased

SECRET = "a very private value"


@pytest.fixture
def encrypted(shell, monkeypatch):
    """A shell whose log holds a task of the customers 7 and 8 each, encrypted, and signed."""
    assert shell("privacy", "keygen", "master.key").code == 0
    Path("encrypt.toml").write_text('keyring = "keyring"\nkey_file = "master.key"\nsubject = "kwargs.customer_id"\n')
    monkeypatch.setenv("EVENTRESULTS_ENCRYPT", "encrypt.toml")
    with eventresults.connect() as tracker:
        for customer in (7, 8):
            tracker.recorder().sent(f"t{customer}", name="bill", kwargs={"customer_id": customer})
            tracker.recorder().succeeded(f"t{customer}", result=SECRET)
    assert shell("audit", "keygen", "notary.key").code == 0
    assert shell("audit", "notary", "--key", "notary.key", "--once").code == 0
    return shell


def test_erasing_a_subject_makes_its_values_unreadable_is_recorded_and_leaves_the_chain_whole(encrypted):
    # when
    done = encrypted("privacy", "erase", "7", "--yes", "--reason", "asked")
    # then
    assert done.code == 0, done.err
    with eventresults.connect() as tracker:
        with pytest.raises(ValueErased):
            AsyncResult("t7", app=tracker).get(timeout=5)
        assert AsyncResult("t8", app=tracker).get(timeout=5) == SECRET
    event = encrypted("events", "cat", "--kind", "data-erased").row["event"]
    assert (event["key_id"], event["reason"]) == (done.row["key"], "asked")
    verified = encrypted("audit", "verify", "--public", "notary.key.pub")
    assert verified.code == 0, verified.err
    assert verified.row["report"]["partitions"][0]["unsigned"] == 1
    # and no view makes a task of it
    assert {row["id"] for row in encrypted("task", "list").rows} == {"t7", "t8"}
    # and once more is no failure
    assert encrypted("privacy", "erase", "7", "--yes").code == 0


@pytest.mark.parametrize("command", [("task", "show", "t7"), ("task", "history", "t7"), ("task", "list"), ("events", "cat")])
def test_other_commands_go_on_and_show_that_values_are_encrypted(encrypted, command):
    done = encrypted(*command, "-o", "table")
    assert done.code == 0, done.err
    assert SECRET not in done.out
    if command[1] != "cat":
        assert "aes-256-gcm" not in done.out


def test_a_result_is_printed_where_the_keys_are_and_nowhere_else(encrypted, monkeypatch):
    assert encrypted("task", "result", "t7").row == SECRET
    encrypted("privacy", "erase", "7", "--yes")
    done = encrypted("task", "result", "t7")
    assert (done.code, done.out) == (1, "")
    assert "destroyed" in done.err
    monkeypatch.delenv("EVENTRESULTS_ENCRYPT")
    done = encrypted("task", "result", "t8")
    assert (done.code, done.out) == (1, "")
    assert "encrypt=" in done.err


def test_without_yes_and_without_a_terminal_nothing_is_erased(encrypted):
    done = encrypted("privacy", "erase", "7")
    assert done.code == 2
    assert "--yes" in done.err
    with eventresults.connect() as tracker:
        assert AsyncResult("t7", app=tracker).get(timeout=5) == SECRET


def test_a_subject_that_is_not_known_is_3_and_nothing_is_recorded(encrypted):
    done = encrypted("privacy", "erase", "nobody", "--yes")
    assert (done.code, done.out) == (3, "")
    assert encrypted("events", "cat", "--kind", "data-erased").out == ""


def test_without_a_policy_it_asks_for_one(shell):
    done = shell("privacy", "erase", "7", "--yes")
    assert done.code == 78
    assert "--encrypt" in done.err


def test_a_key_is_never_replaced(shell):
    assert shell("privacy", "keygen", "key").code == 0
    assert Path("key").stat().st_mode & 0o777 == 0o600
    done = shell("privacy", "keygen", "key")
    assert (done.code, done.out) == (78, "")


def test_a_policy_can_be_tried_out_on_events(shell):
    Path("redact.toml").write_text('keys = ["password"]\n')
    lines = [
        {"kind": "task-sent", "task_id": "a", "kwargs": {"password": SECRET, "n": 1}},
        {"event": {"kind": "task-failed", "task_id": "a"}},
    ]
    done = shell("privacy", "preview", "--redact", "redact.toml", stdin="\n".join(map(json.dumps, lines)))
    assert done.code == 0, done.err
    assert [row.get("kwargs") for row in done.rows] == [{"password": "[redacted]", "n": 1}, None]
    assert shell("privacy", "preview", "--redact", "redact.toml", stdin="nothing").code == 2
    assert shell("privacy", "preview", "--redact", "nowhere.toml").code == 78
