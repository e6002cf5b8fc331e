"""Durations as people write them: 30, 30s, 5m, 2h, 7d, 1h30m."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Any

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
FORMS = "seconds, or 500ms, 30s, 5m, 2h, 7d, 1h30m"

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+")


def seconds(value: Any) -> float:
    """A duration in seconds, from a number, a timedelta or a text such as "5m". Raises ValueError on anything else."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if isinstance(value, str):
        text = value.strip().lower().replace(" ", "").replace("_", "")
        if _WHOLE.fullmatch(text):
            return sum(float(number) * UNITS[unit] for number, unit in _PART.findall(text))
        if re.fullmatch(r"\d+(?:\.\d+)?", text):
            return float(text)
    raise ValueError(f"{value!r} is no duration: write {FORMS}")


def words(duration: float) -> str:
    """A duration as a short text: 7d, 1h30m, 250ms; a form that `seconds` reads back (rounded to milliseconds)."""
    rest = round(duration * 1000)
    if rest == 0:
        return "0s"
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
