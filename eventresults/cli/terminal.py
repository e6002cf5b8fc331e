"""The one boundary to the terminal: nothing recorded by somebody else may move the cursor, hide text or forge a line."""

from __future__ import annotations

import json
import sys
from typing import Any


def safe(text: str, *, lines: bool = False) -> str:
    """The text with everything that is not printable shown as an escape: control characters (C0, C1, ESC), direction overrides, surrogates.

    With `lines`, line feeds and tabs stay.
    """
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(one if one.isprintable() or one in kept else _escape(one) for one in text)


def to_json(value: Any, *, indent: int | None = None) -> str:
    r"""JSON that reads back equal and is safe to print: what is not printable is written as `\uXXXX`."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    if text.isprintable():
        return text
    # Only strings can hold these, except for the line feeds of an indented document.
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def say(text: str) -> None:
    """A line for people, on stderr."""
    sys.stderr.write(safe(text, lines=True) + "\n")
    sys.stderr.flush()


def complain(text: str) -> None:
    """An error, on stderr: one line, whatever the text holds."""
    say(f"Error: {one_line(text)}")


def one_line(text: str) -> str:
    """A message as one safe line."""
    return safe(" ".join(text.split()))


def write(text: str) -> None:
    """A line of data, on stdout; the text is safe already."""
    sys.stdout.write(text + "\n")


def _escape(one: str) -> str:
    code = ord(one)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
