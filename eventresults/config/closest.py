"""Did you mean …?"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(word: str, known: Iterable[str], *, cutoff: float = 0.7) -> str | None:
    """The known word most like this one; None when none is."""
    found = get_close_matches(word.lower(), list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A suggestion to append to a message, or nothing."""
    found = closest(word, known)
    return f"; did you mean {found!r}?" if found else ""
