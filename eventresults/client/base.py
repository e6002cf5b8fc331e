"""What all results share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventresults.client.asyncresult import AsyncResult

T = TypeVar("T")


class ResultBase:
    """A result of any kind."""

    #: The result before this one in a chain.
    parent: Any = None

    @property
    def given_parent(self) -> ResultBase | None:
        """The parent that this result was made with; asks nothing."""
        return self.parent  # type: ignore[no-any-return]

    def leaves(self) -> Iterator[AsyncResult]:
        """The single tasks in it."""
        raise NotImplementedError


class Late(Generic[T]):
    """An attribute that is found at its first use and kept then; None on the class. Assigning to it needs no finding."""

    def __init__(self, find: Callable[[Any], T]) -> None:
        self._find = find
        self._name = ""

    if TYPE_CHECKING:  # an assignment goes to the instance, past this

        def __set__(self, instance: object, value: T) -> None: ...

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> None: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> T | None:
        if instance is None:
            return None
        value = self._find(instance)
        setattr(instance, self._name, value)  # which, unlike a look at its __dict__, has the instance make none
        return value
