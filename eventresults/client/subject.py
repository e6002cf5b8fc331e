"""One task id that is waited for, and the results that wait."""

from __future__ import annotations

import weakref
from collections import deque
from typing import TYPE_CHECKING, Self, TypeAlias

if TYPE_CHECKING:
    from eventresults.client.asyncresult import AsyncResult

    Holder: TypeAlias = "AsyncResult | Weakly"


class Subject:
    """One task id: the results that wait for it, and how many subscriptions tell of it (mostly one of each)."""

    __slots__ = ("_holders", "subscriptions")

    def __init__(self) -> None:
        self.subscriptions = 0
        #: By their address; one alone is kept without a dict around it.
        self._holders: dict[int, Holder] | Holder | None = None

    @property
    def holders(self) -> dict[int, Holder]:
        """Those that were added, by the address of the result. Not to be changed."""
        held = self._holders
        if isinstance(held, dict):
            return held
        return {} if held is None else {held.key if isinstance(held, Weakly) else id(held): held}

    def hold(self, result: AsyncResult, weakly: Weakly | None) -> bool:
        """Add it, and tell whether it is new; who is held strongly stays so."""
        holder = result if weakly is None else weakly
        if self._holders is None:
            self._holders = holder
            return True
        holders = self.holders
        known = id(result) in holders
        if weakly is None or not known:
            holders[id(result)] = holder
            self._holders = holders
        return not known

    def drop(self, key: int) -> bool:
        """Take out what was added of the result at this address; whether it was there."""
        holders = self.holders
        found = holders.pop(key, None)
        self._holders = holders or None
        return found is not None

    def results(self) -> list[AsyncResult]:
        """Those that are still alive."""
        held = self._holders
        each = held.values() if isinstance(held, dict) else (held,)
        return [alive for holder in each if (alive := holder() if isinstance(holder, Weakly) else holder) is not None]


class Weakly(weakref.ref["AsyncResult"]):
    """A result that is not kept alive, and where it was registered. Dying, it only appends itself to the graves."""

    __slots__ = ("key", "task_id")

    def __new__(cls, result: AsyncResult, graves: deque[Weakly]) -> Self:
        """A reference to it; see the class."""
        return super().__new__(cls, result, graves.append)

    def __init__(self, result: AsyncResult, graves: deque[Weakly]) -> None:
        super().__init__(result, graves.append)  # type: ignore[call-arg]
        self.task_id = result.id
        self.key = id(result)
