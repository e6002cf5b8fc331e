"""What is to be redacted never leaves the recorder."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

import eventresults
from eventresults.domain.events import TaskStarted, TaskSucceeded
from eventresults.errors import ConfigError
from eventresults.log.memory import MemoryLog
from eventresults.privacy.guard import WITHHELD, Guard
from eventresults.privacy.redaction import MARK, Redaction, Rules
from eventresults.recorder import Appender, Recorder

SECRET = "hunter2-very-secret"


class Written:
    """A recorder, and what it wrote."""

    def __init__(self, redaction: Redaction) -> None:
        self.log = MemoryLog()
        self.recorder = Recorder(Appender(self.log), guard=Guard(redaction=redaction))

    def facts(self) -> list[dict[str, Any]]:
        polls = self.log.reader({0: 0}).poll(0)
        return [json.loads(record.value) for record in polls[0].records]

    @property
    def fact(self) -> dict[str, Any]:
        return self.facts()[-1]


def test_values_of_named_keys_are_redacted_wherever_they_stand():
    written = Written(Redaction(keys=["password", "*token*"]))
    written.recorder.sent(
        "t", kwargs={"password": SECRET, "user": {"Password": SECRET, "name": "ada"}, "all": [{"api_TOKEN_1": 7}], "tokens": ({"a": 1},)}
    )
    assert written.fact["kwargs"] == {
        "password": MARK,
        "user": {"Password": MARK, "name": "ada"},
        "all": [{"api_TOKEN_1": MARK}],
        "tokens": MARK,
    }


def test_paths_name_places_in_the_fields_of_facts():
    written = Written(Redaction(paths=["args.0", "kwargs.customer.email", "result.items.*.price", "meta"]))
    written.recorder.sent("t", args=[SECRET, 2], kwargs={"customer": {"email": SECRET, "id": 1}})
    written.recorder.updated("t", meta={"step": 1})
    written.recorder.succeeded("t", result={"items": [{"price": 1, "n": 2}, {"price": Decimal(3)}], "pair": ({"email": 1}, 2)})
    sent, updated, succeeded = written.facts()
    assert (sent["args"], sent["kwargs"]) == ([MARK, 2], {"customer": {"email": MARK, "id": 1}})
    assert updated["meta"] == MARK
    assert succeeded["result"]["items"] == [{"price": MARK, "n": 2}, {"price": MARK}]
    assert succeeded["result"]["pair"] == {"$type": "tuple", "value": [{"email": 1}, 2]}


def test_what_was_redacted_in_the_arguments_is_redacted_in_errors_and_tracebacks():
    written = Written(Redaction(keys=["password"]))
    written.recorder.sent("t", kwargs={"password": SECRET})
    written.recorder.failed("t", error=ValueError(f"no such login: {SECRET}"), traceback=f"… login('{SECRET}')\n")
    assert SECRET not in json.dumps(written.facts())
    assert written.fact["error"]["message"] == f"no such login: {MARK}"
    assert written.fact["error"]["type"] == "ValueError"


def test_what_another_process_sent_is_known_by_being_told():
    written = Written(Redaction(keys=["password"], tasks={"pay": Rules(paths=["result.card"])}))
    written.recorder.about("t", name="pay", args=[object()], kwargs={"password": SECRET})
    written.recorder.succeeded("t", result={"card": 1, "said": f"ok {SECRET}"})
    assert written.fact["result"] == {"card": MARK, "said": f"ok {MARK}"}
    assert len(written.facts()) == 1


def test_patterns_are_found_in_all_texts():
    written = Written(Redaction(patterns=[r"\b\d{16}\b"]))
    written.recorder.failed("t", error=ValueError("card 4111111111111111 refused", "4111111111111111"), traceback="4111111111111111")
    assert "4111" not in json.dumps(written.fact)
    written.recorder.revoked("t", reason="card 4111111111111111")
    assert written.fact["reason"] == f"card {MARK}"


def test_rules_of_a_task_apply_to_it_alone_and_to_what_may_be_it():
    written = Written(Redaction(keys=["pin"], tasks={"pay": Rules(keys=["card"])}))
    written.recorder.sent("a", name="pay", kwargs={"card": 1, "pin": 2})
    written.recorder.sent("b", name="show", kwargs={"card": 1, "pin": 2})
    written.recorder.succeeded("a", result={"card": 1})
    written.recorder.succeeded("b", result={"card": 1})
    written.recorder.succeeded("unknown", result={"card": 1})
    sent_a, sent_b, a, b, unknown = written.facts()
    assert (sent_a["kwargs"], sent_b["kwargs"]) == ({"card": MARK, "pin": MARK}, {"card": 1, "pin": MARK})
    assert (a["result"], b["result"], unknown["result"]) == ({"card": MARK}, {"card": 1}, {"card": MARK})


def test_with_a_hash_key_equal_values_stay_equal_and_only_they():
    written = Written(Redaction(keys=["email"], hash_key=b"k" * 32))
    written.recorder.sent("a", kwargs={"email": "ada@example.org", "other": {"email": "ada@example.org"}})
    written.recorder.sent("b", kwargs={"email": "bob@example.org"})
    first, second = (fact["kwargs"] for fact in written.facts())
    assert first["email"] == first["other"]["email"] != second["email"]
    assert first["email"].startswith("[redacted:")
    other = Written(Redaction(keys=["email"], hash_key=b"l" * 32))
    other.recorder.sent("a", kwargs={"email": "ada@example.org"})
    assert other.fact["kwargs"]["email"] != first["email"]


def test_a_hook_has_the_last_word_and_if_it_fails_nothing_private_leaves(caplog):
    def hook(value):
        if value.field == "result" and value.value == "fine":
            return "fine indeed"
        if value.field == "kwargs":
            return value.value
        raise KeyError(SECRET)

    written = Written(Redaction(hook=hook))
    written.recorder.succeeded("t", result="fine")
    assert written.fact["result"] == "fine indeed"
    written.recorder.succeeded("t", result={"a": SECRET}, worker="w")
    assert (written.fact["result"], written.fact["worker"]) == (WITHHELD, "w")
    written.recorder.failed("t", error=ValueError(SECRET), traceback=SECRET)
    assert written.fact["error"] == {"type": "ValueError", "module": "builtins", "message": WITHHELD, "args": []}
    assert written.fact["traceback"] == WITHHELD
    assert SECRET not in json.dumps(written.facts())
    assert SECRET not in caplog.text
    assert "KeyError" in caplog.text


def test_a_hook_that_returns_what_is_no_wire_value_fails_closed():
    written = Written(Redaction(hook=lambda value: object()))
    written.recorder.succeeded("t", result=1)
    assert written.fact["result"] == WITHHELD


@pytest.mark.parametrize("policy", [{"keys": ["password"]}, {"patterns": ["x"]}, {"paths": ["args.0"]}])
def test_events_that_a_framework_appends_are_redacted_and_what_cannot_be_looked_into_is_not_let_through(policy):
    written = Written(Redaction(**policy))
    now = written.recorder.now()
    inline = {"content_type": "application/json", "codec": "kombu", "body": {"password": SECRET, "user": "ada"}}
    opaque = {"content_type": "application/x-python-serialize", "encoding": "binary", "body": "gASVAA=="}
    written.recorder.append(TaskSucceeded(task_id="a", time=now, result=inline))
    written.recorder.append(
        TaskSucceeded(task_id="b", time=now, result=opaque, request={"args": opaque, "kwargs": inline, "group_id": "g"})
    )
    written.recorder.append(TaskStarted(task_id="c", time=now, request={"args": {"repr": f"('{SECRET}',)", "flag": "too-large"}}))
    a, b, c = written.facts()
    if "keys" in policy:
        assert a["result"] == {**inline, "body": {"password": MARK, "user": "ada"}}
    assert (b["result"], b["request"]["args"], b["request"]["group_id"]) == (MARK, MARK, "g")
    assert c["request"]["args"]["repr"] == MARK


def test_arguments_that_cannot_be_recorded_are_not_told_by_their_repr():
    class Order:
        def __repr__(self):
            return f"Order({SECRET})"

    with eventresults.connect("memory://", redact=Redaction(keys=["password"])) as tracker, tracker.executor(max_workers=1) as pool:
        result = pool.submit(lambda *_, **__: 1, {"password": SECRET, "order": Order()}, n=1)
        assert result.get(timeout=5) == 1
        assert result.args == [{"repr": MARK, "flag": "not-encodable"}]
        assert SECRET not in str(tracker.history(result.id))


def test_rules_that_cannot_be_used_are_an_error_at_once():
    with pytest.raises(ConfigError, match="no path"):
        Redaction(paths=["kwargs..x"])
