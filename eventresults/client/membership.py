"""Which results are in a set; who waits for the whole set is told of changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from eventresults.client.allready import AllReady
from eventresults.client.base import ResultBase

if TYPE_CHECKING:
    from eventresults.client.asyncresult import AsyncResult


class Membership(ResultBase):
    """The members of a `ResultSet`: results, and sets of results among them."""

    #: The results, in order.
    results: list[Any] = None  # type: ignore[assignment]
    _gate: AllReady | None = None

    def add(self, result: Any) -> None:
        """Add a result, unless it is in the set. Who waits by `then` waits for it too."""
        if result not in self.results:
            self.results.append(result)
            if self._gate is not None:
                self._gate.add(result.leaves())

    def remove(self, result: Any) -> None:
        """Take out a result, or the one of this id. Raises KeyError when it is not in the set."""
        try:
            self.results.remove(result)
        except ValueError:
            raise KeyError(result) from None
        self._left()

    def discard(self, result: Any) -> None:
        """Take out a result if it is in the set."""
        if result in self.results:
            self.remove(result)

    def update(self, results: Iterable[Any]) -> None:
        """Add those that are not in the set."""
        for result in results:
            self.add(result)

    def clear(self) -> None:
        """Take out all."""
        self.results.clear()
        self._left()

    def leaves(self) -> Iterator[AsyncResult]:
        """The single tasks in it, those of sets in it included."""
        for result in self.results:
            yield from result.leaves()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.results)

    def __getitem__(self, index: Any) -> Any:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    def fired(self, gate: AllReady) -> None:
        """The gate has fired: who calls `then` from now on asks anew."""
        if self._gate is gate:
            self._gate = None

    def _gated(self) -> AllReady:
        gate = self._gate
        if gate is None:
            gate = self._gate = AllReady(self)
        return gate

    def _left(self) -> None:
        if self._gate is not None:
            self._gate.drop_others(self.leaves())
