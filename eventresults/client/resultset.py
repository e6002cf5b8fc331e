"""`ResultSet`: many results as one, under Celery's names and with Celery's parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from eventresults.client import pending
from eventresults.client.app import backend_of, current_app
from eventresults.client.joins import assert_will_not_block
from eventresults.client.members import iter_native, refresh, value_of
from eventresults.client.membership import Membership
from eventresults.client.parents import with_ancestors
from eventresults.client.revoking import forget, revoke
from eventresults.client.waiting import Deadline, OnInterval, OnMessage

if TYPE_CHECKING:
    from eventresults.client.asyncresult import AsyncResult
    from eventresults.client.backend import Backend
    from eventresults.client.metadict import MetaDict
    from eventresults.client.pending import Promise


@pending.register
class ResultSet(Membership):
    """Several results, sets of results among them. What it asks, it asks for all of them at once.

    `app` is the tracker (default: that of the first result, else the current one). `ready_barrier` and further keywords are taken for
    Celery's sake.
    """

    _app: Any = None

    def __init__(self, results: Iterable[Any] | None, app: Any = None, ready_barrier: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
        self._app = app
        self.results = results if isinstance(results, list) else list(results or ())

    # Waiting

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        callback: Callable[[str, Any], Any] | None = None,
        no_ack: bool = True,
        on_message: OnMessage | None = None,
        disable_sync_subtasks: bool = True,
        on_interval: OnInterval | None = None,
    ) -> list[Any] | None:
        """`join_native`, where the results support it (all but local ones do), else `join`."""
        join = self.join_native if self.supports_native_join else self.join
        return join(
            timeout=timeout,
            propagate=propagate,
            interval=interval,
            callback=callback,
            no_ack=no_ack,
            on_message=on_message,
            disable_sync_subtasks=disable_sync_subtasks,
            on_interval=on_interval,
        )

    def join(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        callback: Callable[[str, Any], Any] | None = None,
        no_ack: bool = True,
        on_message: OnMessage | None = None,
        disable_sync_subtasks: bool = True,
        on_interval: OnInterval | None = None,
    ) -> list[Any]:
        """Wait for the results one after another, in order, and return their values.

        `timeout` (seconds) is for the whole. With `propagate` the first failure in order is raised, else the exception stands in the
        list. With a `callback(id, value)` each value goes there instead, and the list is empty. Raises like `AsyncResult.get`.
        """
        if disable_sync_subtasks:
            assert_will_not_block()
        deadline = Deadline(timeout)
        refresh(self.leaves(), deadline.remaining())
        values: list[Any] = []
        for result in self.results:
            value = result.get(
                timeout=deadline.remaining(),
                propagate=propagate,
                interval=interval,
                no_ack=no_ack,
                on_message=on_message,
                on_interval=on_interval,
                disable_sync_subtasks=disable_sync_subtasks,
            )
            if callback:
                callback(result.id, value)
            else:
                values.append(value)
        return values

    def join_native(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        callback: Callable[[str, Any], Any] | None = None,
        no_ack: bool = True,  # noqa: ARG002 - Celery's
        on_message: OnMessage | None = None,
        on_interval: OnInterval | None = None,
        disable_sync_subtasks: bool = True,
    ) -> list[Any] | None:
        """Wait for all at once: the first failure to come is raised at once, the callback called as values come.

        Returns the values in the order of the results; None with a callback. Else like `join`.
        """
        if disable_sync_subtasks:
            assert_will_not_block()
        values: list[Any] = [None] * len(self.results)
        arriving = iter_native(
            self.results, timeout=timeout, interval=interval, on_interval=on_interval, on_message=on_message, follow_parents=propagate
        )
        for index in arriving:
            member = self.results[index]
            values[index] = value_of(member, propagate=propagate)
            if callback:
                callback(member.id, values[index])
        return None if callback else values

    def iter_native(
        self,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,  # noqa: ARG002
        on_message: OnMessage | None = None,
        on_interval: OnInterval | None = None,
    ) -> Iterator[tuple[str, MetaDict | list[Any]]]:
        """Yield (id, meta dict) of each result as it gets ready; of a group in this set, (id, its results).

        Raises `ResultTimeout` when not all were ready after `timeout` seconds.
        """
        members = list(self.results)
        for index in iter_native(members, timeout=timeout, interval=interval, on_interval=on_interval, on_message=on_message):
            member = members[index]
            yield member.id, member.results if isinstance(member, ResultSet) else member._get_task_meta()  # noqa: SLF001 - Celery's name

    def then(self, callback: Callable[..., Any] | None, on_error: Callable[..., Any] | None = None, weak: bool = False) -> Any:
        """When all are ready call `callback(set)`, or `on_error(exception)` with that of the first failed one, if that is given.

        Exactly once, also when all are ready already; members added before count too. Else like `AsyncResult.then`.
        """
        gate = self._gated()
        after = gate.promise.then(callback, on_error)
        gate.start(weak=weak)
        return after

    @property
    def on_ready(self) -> Promise:
        """The promise that all will be ready; its callbacks get the set."""
        gate = self._gated()
        gate.start(weak=False)
        return gate.promise

    # State

    def ready(self) -> bool:
        """Whether all have ended."""
        return all(leaf.is_settled for leaf in self._refreshed())

    def waiting(self) -> bool:
        """Whether any has not ended."""
        return not self.ready()

    def successful(self) -> bool:
        """Whether all ended by success."""
        return all(_succeeded(leaf) for leaf in self._refreshed())

    def failed(self) -> bool:
        """Whether any ended by failure."""
        return any(leaf.is_settled and leaf.failed() for leaf in self._refreshed())

    def completed_count(self) -> int:
        """How many ended by success; a group in this set counts as one."""
        self._refreshed()
        return sum(all(_succeeded(leaf) for leaf in member.leaves()) for member in self.results)

    def maybe_throw(self, callback: Callable[[str, Any], Any] | None = None, propagate: bool = True) -> None:
        """`maybe_throw` of each, in order."""
        self._refreshed()
        for result in self.results:
            result.maybe_throw(callback=callback, propagate=propagate)

    maybe_reraise = maybe_throw

    # Acting

    def forget(self) -> None:
        """`forget` all, and the parents given to them."""
        forget(with_ancestors(self.results))

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """`revoke` all; `timeout` (seconds) is for the whole."""
        leaves = list(self.leaves())
        for leaf in leaves:
            if leaf.is_local:
                leaf.revoke()
        recorded = [leaf for leaf in leaves if not leaf.is_local]
        if recorded:
            revoke(recorded, self.app, connection=connection, terminate=terminate, signal=signal, wait=wait, timeout=timeout)

    # What it is

    @property
    def supports_native_join(self) -> bool | None:
        """Whether they can be waited for all at once; None for an empty set."""
        return self.results[0].supports_native_join if self.results else None

    @property
    def app(self) -> Any:
        """The app it was given, else that of its first result, else the current one."""
        if self._app is None:
            self._app = self.results[0].app if self.results and self.results[0].app is not None else current_app()
        return self._app

    @app.setter
    def app(self, app: Any) -> None:
        self._app = app

    @property
    def backend(self) -> Backend:
        """The backend of its app."""
        return backend_of(self.app)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ResultSet):
            return other.results == self.results
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # its members change

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: [{', '.join(str(result.id) for result in self.results)}]>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.results,)

    def _refreshed(self) -> list[AsyncResult]:
        leaves = list(self.leaves())
        refresh(leaves)
        return leaves


def _succeeded(leaf: AsyncResult) -> bool:
    return leaf.is_settled and leaf.successful()
