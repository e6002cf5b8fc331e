"""What a result object has seen of its task's end, and the promise that hangs on it."""

from __future__ import annotations

from eventresults.client import pending
from eventresults.client.decoding import Decoder
from eventresults.client.identity import TaskIdentity
from eventresults.client.metadict import MetaDict
from eventresults.client.pending import Outcome, Promise, Runner
from eventresults.domain.meta import TaskMeta
from eventresults.domain.states import PROPAGATE_STATES, TaskState


class Settling(TaskIdentity):
    """Reads until the task is ready, and keeps what it was then."""

    _meta: TaskMeta | None = None  # once it is ready
    _cache: MetaDict | None = None  # the same, decoded
    #: Whether nothing of it is in any log.
    is_local = False
    _ready_promise: Promise | None = None  # until it is settled, so that a settled result is in no cycle

    @property
    def decoder(self) -> Decoder:
        """How payloads are read where this result is at home."""
        return self.backend.decoder

    def task_meta(self) -> TaskMeta | None:
        """All that is known of the task, at once; None for an unknown, expired or forgotten id."""
        if self._meta is not None:
            return self._meta
        meta = self.backend.reader.get(self.id)
        if meta is not None and meta.ready:
            self.learn(meta)
        return meta

    @property
    def state(self) -> str:
        """PENDING, RECEIVED, STARTED, RETRY, REJECTED, SUCCESS, FAILURE, REVOKED, or what an update set. An unknown task is PENDING."""
        if self._cache is not None:
            return str(self._cache["status"])
        meta = self.task_meta()
        return str(TaskState.PENDING if meta is None else meta.state)

    @property
    def on_ready(self) -> Promise:
        """The promise that this task will be ready; its callbacks get the result."""
        promise = self._ready_promise
        if promise is not None:
            return promise
        promise = Promise(self.backend.call)
        if not self.is_settled:
            # Whoever is first makes the one that all get; whoever then learns the end takes it away, and settles it.
            with pending.changing():
                self._ready_promise = promise = self._ready_promise or promise
        if self.is_settled:
            self._take_promise()
            self._settle(promise)
        return promise

    @property
    def is_settled(self) -> bool:
        """Whether this object has seen its task ready, and keeps that; asks nothing."""
        return self._meta is not None or self._cache is not None

    def learn(self, meta: TaskMeta, run: Runner | None = None) -> None:
        """The task is ready, and this is known of it: keep it, and keep the promise; `run` as `Promise.settle` has it."""
        if self._meta is None:
            self._meta = meta
        # Who makes one from here on sees that it is settled.
        promise = None if self._ready_promise is None else self._take_promise()
        if promise is not None:
            self._settle(promise, run)

    def abandon(self, error: BaseException) -> None:
        """Nobody will tell whether the task gets ready: break the promise."""
        promise = self._take_promise()
        if promise is not None:
            promise.settle(Outcome(None, error))

    def lose(self) -> None:
        """Forget what this object keeps."""
        self._meta = self._cache = self._restored = None

    def _take_promise(self) -> Promise | None:
        with pending.changing():
            promise, self._ready_promise = self._ready_promise, None
        return promise

    def _settle(self, promise: Promise, run: Runner | None = None) -> None:
        try:
            error = self.failure()
        except Exception as unreadable:  # noqa: BLE001 - whoever waits is told, whatever it is
            error = unreadable
        promise.settle(Outcome((self,), error), run)

    def failure(self) -> BaseException | None:
        """The exception that `get` raises; None for a task that did not fail."""
        state = self.state if self._meta is None else self._meta.state
        if state not in PROPAGATE_STATES:
            return None
        value = self._get_task_meta()["result"]
        return value if isinstance(value, BaseException) else Exception(value)

    def _get_task_meta(self) -> MetaDict:
        if self._cache is not None:
            return self._cache
        meta = self.task_meta()
        known = self.backend.meta_dict(self.id, meta)
        if known["children"]:
            known["children"] = [self.backend.result_from_tuple(child, self.app) for child in known["children"]]
        if meta is not None and meta.ready:
            self._cache = known
        return known
