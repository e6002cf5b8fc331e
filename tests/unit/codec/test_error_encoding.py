import json
import pickle
import sys
import types

import pytest

from eventresults.codec.errors import MAX_MESSAGE_BYTES, decode_error, encode_error
from eventresults.codec.values import check_wire
from eventresults.errors import EventResultsError, RemoteTaskError, ResultTimeout, TaskRevokedError, ViewStale


class Refund(Exception):
    class Denied(Exception):
        pass


class Formats(Exception):
    def __init__(self, code):
        super().__init__(f"failed with {code}")


class NeedsMore(Exception):
    def __init__(self, a, b):
        super().__init__(a)


class Explodes(Exception):
    def __init__(self, *args):
        if args:
            raise RuntimeError("boom in the constructor")


class Shifty(Exception):
    def __new__(cls, *args):
        return ValueError(*args) if args else super().__new__(cls)


class Mute(Exception):
    def __str__(self):
        raise ZeroDivisionError

    def __repr__(self):
        raise ZeroDivisionError

    @property
    def args(self):
        raise ZeroDivisionError

    def __getattr__(self, name):
        raise ZeroDivisionError


def round_trip(exc):
    wire = encode_error(exc)
    check_wire(wire)
    return decode_error(json.loads(json.dumps(wire, allow_nan=False)))


def test_the_wire_form_names_class_module_message_and_arguments():
    assert encode_error(KeyError("order", 42)) == {
        "type": "KeyError",
        "module": "builtins",
        "message": "('order', 42)",
        "args": ["order", 42],
    }


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("no"),
        KeyError("k"),
        Exception(),
        ZeroDivisionError(1, (2, 3), b"x"),
        Refund("late"),
        Refund.Denied("no"),
        UserWarning("hm"),
    ],
)
def test_an_imported_exception_comes_back_as_itself(exc):
    back = round_trip(exc)
    assert type(back) is type(exc)
    assert back.args == exc.args
    assert str(back) == str(exc)


def test_a_file_error_keeps_its_class_number_and_file():
    back = round_trip(FileNotFoundError(2, "No such file or directory", "orders.csv"))
    assert type(back) is FileNotFoundError
    assert (back.errno, back.filename, str(back)) == (2, "orders.csv", "[Errno 2] No such file or directory: 'orders.csv'")


def test_a_constructor_that_builds_the_message_does_not_build_it_twice():
    back = round_trip(Formats(5))
    assert type(back) is Formats
    assert str(back) == "failed with 5"


def test_an_exception_that_holds_a_decoding_error_comes_back():
    with pytest.raises(UnicodeDecodeError) as caught:
        b"\xff".decode()
    back = round_trip(caught.value)
    assert type(back) is UnicodeDecodeError
    assert str(back) == str(caught.value)


@pytest.mark.parametrize(
    "exc",
    [
        ResultTimeout("waited", task_id="t", timeout=1.5),
        TaskRevokedError("gone", task_id="t", reason=None, terminated=True, signal=None),
        ViewStale("old", partition=0, lag=3, eta=None),
        RemoteTaskError("far", type="Boom", module="app", args_=[1, (2,)], remote_message="boom"),
        EventResultsError(),
    ],
)
def test_an_error_of_ours_keeps_its_facts(exc):
    back = round_trip(exc)
    assert type(back) is type(exc)
    assert (back.message, back.facts, vars(back)) == (exc.message, exc.facts, vars(exc))
    assert vars(pickle.loads(pickle.dumps(back))) == vars(back)


def test_notes_travel():
    exc = ValueError("no")
    exc.add_note("in row 7")
    assert round_trip(exc).__notes__ == ["in row 7"]
    unknown = encode_error(exc) | {"module": "not.here"}
    assert decode_error(unknown).__notes__ == ["in row 7"]


@pytest.mark.parametrize("exc", [NeedsMore(1, 2), SystemExit(1), KeyboardInterrupt(), ExceptionGroup("two", [ValueError(1)])])
def test_what_cannot_be_rebuilt_carries_the_facts(exc):
    back = round_trip(exc)
    assert type(back) is RemoteTaskError
    assert (back.type, back.module, back.remote_message) == (type(exc).__name__, type(exc).__module__, str(exc))
    assert f"{back.module}.{back.type}" in str(back)


def test_the_arguments_of_what_cannot_be_rebuilt_are_values_again():
    back = decode_error({"type": "Boom", "module": "not.here", "message": "m", "args": [{"$type": "tuple", "value": [1]}]})
    assert back.args_ == [(1,)]
    assert type(pickle.loads(pickle.dumps(back))) is RemoteTaskError


def test_a_class_made_in_a_function_cannot_be_found_again():
    class Local(Exception):
        pass

    assert round_trip(Local("x")).type.endswith("<locals>.Local")


def test_an_argument_no_rule_covers_becomes_its_repr():
    wire = encode_error(ValueError(object, 1j, "x"))
    assert wire["args"] == ["<class 'object'>", "1j", "x"]
    assert len(encode_error(ValueError([1j] * 5000))["args"][0]) == 1024


def test_an_exception_that_refuses_to_be_read_is_still_written():
    wire = encode_error(Mute("a", Mute()))
    assert wire["type"] == "Mute"
    assert wire["message"] == "<its text could not be had: ZeroDivisionError>"
    assert wire["args"] == ["a", "<Mute: its repr could not be had: ZeroDivisionError>"]
    check_wire(wire)


def test_lone_surrogates_in_an_exception_are_safe():
    exc = ValueError("caf\udce9")
    exc.add_note("\udce9")
    back = round_trip(exc)
    assert back.args == ("caf\udce9",)
    assert encode_error(exc)["message"] == "caf\\udce9"
    assert back.__notes__ == ["\\udce9"]


def test_a_long_message_is_cut_at_a_whole_character():
    message = encode_error(NeedsMore("ß" * 100_000, 1))["message"]
    assert len(message.encode()) == MAX_MESSAGE_BYTES
    assert set(message) == {"ß"}


def error(**changes):
    return {"type": "ValueError", "module": "builtins", "message": "m", "args": []} | changes


@pytest.mark.parametrize(
    "hostile",
    [
        None,
        {},
        error(type="system", module="os"),
        error(type="eval"),
        error(type="int"),
        error(type="SystemExit"),
        error(type="BaseException"),
        error(type="__import__"),
        error(type="ValueError.__init__"),
        error(type="ValueError.mro"),
        error(type=""),
        error(type="."),
        error(type=None),
        error(type=["ValueError"]),
        error(module=None),
        error(module={}),
        error(module=""),
        error(module="antigravity", type="Error"),
        error(args=None),
        error(args="ab"),
        error(args={"a": 1}),
        error(module=__name__, type="Shifty", args=[1]),
        error(module=__name__, type="Explodes", args=[1]),
        error(module=__name__, type="Explodes.args"),
        error(type="UnicodeDecodeError", args=[1]),
        error(type="ExceptionGroup", args=["x", []]),
        error(message=5, type="nothing"),
        error(type="nothing", args=[{"$type": "set", "value": [[]]}]),
    ],
)
def test_whatever_is_off_gives_the_facts_and_runs_nothing(hostile):
    back = decode_error(hostile)
    assert type(back) is RemoteTaskError
    assert isinstance(back.args_, list)
    assert isinstance(back.remote_message, str)


def test_nothing_is_imported():
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "facts", [{"message": 1}, {"facts": 1}, {"add_note": 1}, {"args": 5}, {"__class__": 1}, {"with_traceback": 1}, {"a b": 1}]
)
def test_hostile_facts_cannot_replace_what_an_error_is(facts):
    hostile = {"type": "Closed", "module": "eventresults.errors", "message": "m", "args": ["m"], "facts": facts, "notes": ["n", 5]}
    back = decode_error(hostile)
    assert type(back).__name__ == "Closed"
    assert (back.message, back.facts, back.args, back.__notes__) == ("m", {}, ("m",), ["n"])


def test_a_lazy_module_is_not_made_to_load(monkeypatch):
    # given a module whose attributes appear by running code
    loaded = []

    class Lazy(types.ModuleType):
        def __getattribute__(self, name):
            loaded.append(name)
            return super().__getattribute__(name)

    module = Lazy("lazy_for_test")
    module.__dict__["__getattr__"] = lambda name: loaded.append(name) or ValueError
    loaded.clear()
    monkeypatch.setitem(sys.modules, "lazy_for_test", module)
    # when an error names an attribute of it
    back = decode_error(error(module="lazy_for_test", type="Anything"))
    # then it is not asked
    assert type(back) is RemoteTaskError
    assert loaded == []


def test_an_error_nested_beyond_reason_is_still_an_error():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert type(decode_error(error(args=[deep]))) is RemoteTaskError
