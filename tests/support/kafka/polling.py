"""Waiting for something to become true, with an end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def poll(question: Callable[[], T | None], *, timeout: float, what: str, every: float = 0.05) -> T:
    """Ask until the answer is neither None nor False, and return it.

    Asks at least once, then every `every` seconds. Raises TimeoutError, naming `what`, once `timeout` seconds have
    passed; an error that `question` raises ends the waiting.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = question()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() >= deadline:
            message = f"waited {timeout:g} s in vain: {what}"
            raise TimeoutError(message)
        time.sleep(every)
