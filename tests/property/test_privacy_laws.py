"""What is redacted is nowhere; everything else is as it was. What is sealed opens to what it was."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventresults.codec.values import decode_value, encode_value
from eventresults.codec.wire import check_wire
from eventresults.privacy.encryption import opened_value, sealed_value
from eventresults.privacy.keyring import Keyring
from eventresults.privacy.redaction import Redaction
from eventresults.privacy.sealing import MasterKey

SECRET = "zq-secret-qz"
leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6) | st.binary(max_size=6)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.text(max_size=4) | st.integers()
    return st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3) | st.lists(inner, max_size=3).map(tuple)


values = st.recursive(leaves, containers, max_leaves=12)


@st.composite
def with_secrets(draw: st.DrawFn) -> Any:
    """A value with a password in it, somewhere, and the password in other texts."""
    secret: Any = draw(st.sampled_from([{"password": SECRET}, {"Password": [SECRET, 1]}, {"password": {"x": (SECRET,)}, 7: 1}]))
    for wrap in draw(st.lists(st.sampled_from([lambda v: [v], lambda v: {"a": v}, lambda v: (1, v), lambda v: {3: v}]), max_size=4)):
        secret = wrap(secret)
    return [secret, draw(values), f"it was {SECRET}", {"said": f"{SECRET}!"}]


@given(with_secrets())
def test_a_secret_is_nowhere_once_it_is_redacted(value: Any):
    redacted = Redaction(keys=["password"]).walk("t", set()).field("result", encode_value(value))
    check_wire(redacted)
    assert SECRET not in json.dumps(redacted)


@given(values)
def test_what_no_rule_names_is_as_it_was(value: Any):
    wire = encode_value(value)
    assert Redaction(keys=["no-such-key"], paths=["result.no.such.path"]).walk("t", set()).field("result", wire) == wire


@pytest.fixture(scope="module")
def keyring():
    with tempfile.TemporaryDirectory() as folder:
        yield Keyring(Path(folder) / "keys", MasterKey(bytes(32)))


@given(value=values)
def test_what_is_sealed_opens_to_what_it_was(keyring: Keyring, value: Any):
    key_id, key = keyring.key_for("subject")
    wire = encode_value(value)
    sealed = sealed_value(key_id, key, wire)
    check_wire(sealed)
    opened = opened_value(sealed, keyring)
    assert opened == wire
    assert repr(decode_value(opened)) == repr(decode_value(wire))


@given(value=values)
def test_no_two_seals_are_equal(keyring: Keyring, value: Any):
    key_id, key = keyring.key_for("subject")
    assert sealed_value(key_id, key, encode_value(value)) != sealed_value(key_id, key, encode_value(value))
