from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventresults.cli.output import Format, cell, print_one, print_rows
from eventresults.cli.terminal import safe, to_json

HOSTILE = {
    "escape sequence": "\x1b[2J\x1b[31mred",
    "title": "\x1b]0;owned\x07",
    "carriage return": "fine\rforged",
    "line feed": "one\ntwo",
    "backspace": "a\b\b",
    "C1 CSI": "\x9b31m",
    "delete": "\x7f",
    "override": "\u202etxt.exe",
    "isolate": "\u2066x\u2069",
    "zero width": "a\u200bb",
    "separator": "a\u2028b\u2029c",
    "surrogate": "\ud800",
    "tag": "\U000e0041",
}


def _is_inert(text: str, allowed: str = "") -> bool:
    return all(one.isprintable() or one in allowed for one in text)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_is_not_printable_is_shown_escaped(text):
    shown = safe(text)
    assert _is_inert(shown)
    assert "\\" in shown


def test_ordinary_text_of_any_script_stays_as_it_is():
    text = "Grüße, 世界! 🙂 [bold]no markup[/bold]"
    assert safe(text) == text
    assert to_json({"a": text}) == '{"a": "' + text + '"}'


def test_lines_may_stay_where_they_are_wanted():
    assert safe("a\n\tb\r\x1b", lines=True) == "a\n\tb\\x0d\\x1b"


@given(st.text())
def test_no_text_at_all_gets_through_unprintable(text):
    assert _is_inert(safe(text))
    assert _is_inert(safe(text, lines=True), "\n\t")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    ),
    st.sampled_from([None, 2]),
)
def test_json_is_printable_and_reads_back_equal(value, indent):
    text = to_json(value, indent=indent)
    assert _is_inert(text, "\n")
    assert json.loads(text) == value


@pytest.mark.parametrize("output", list(Format))
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_rows_hold_no_control_character_in_any_format(capsys, output, text):
    row = {"id": text, "name": "[red]x[/red]", "value": {"deep": [text]}, "traceback": text}
    print_rows([row], output=output, columns=("id", "name", "value"), title=text)
    print_one(row, output=output, blocks=("traceback",))
    printed = capsys.readouterr().out
    assert _is_inert(printed, "\n")
    assert "[red]x[/red]" in printed  # markup is text


def test_a_cell_is_one_line():
    assert cell("a\nb") == "a\\x0ab"
    assert cell({"a": 1}) == '{"a": 1}'
    assert cell(None) == ""
    assert cell(0.1 + 0.2) == "0.3"
