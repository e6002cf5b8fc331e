"""A view of facts that a test tells it: what was told is at once there, and told on to who subscribed."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime

from eventresults.domain.fold import apply
from eventresults.domain.position import Position
from eventresults.errors import Closed
from eventresults.view.base import Change, Fact


class ToldView:
    """A `ViewReader` of one partition. `tell(event)` folds one fact and publishes the change, on the calling thread."""

    def __init__(self):
        self._offsets = itertools.count()
        self._facts = {}
        self._metas = {}
        self._listeners = []
        self._lock = threading.Lock()
        self.closed = False
        self.reads = 0

    def tell(self, event):
        with self._lock:
            at = Position(0, next(self._offsets))
            log_time = int(datetime.now(UTC).timestamp() * 1000)
            fact = Fact(at, log_time, event)
            self._facts.setdefault(event.subject, []).append(fact)
            meta = self._metas[event.subject] = apply(self._metas.get(event.subject), event, at, log_time)
        alive = meta if meta is not None and meta.exists else None
        for subject, listener in list(self._listeners):
            if event.subject == subject:
                listener(Change(event.subject, fact, alive))
        return at

    def empty(self):
        """Drop all facts."""
        self._facts.clear()
        self._metas.clear()

    def lose_from(self, offset):
        """Drop what was told from there on, and tell the rest again, as a view does whose log lost its tail."""
        kept = [fact for facts in self._facts.values() for fact in facts if fact.position.offset < offset]
        self.empty()
        self._offsets = itertools.count()
        for fact in sorted(kept, key=lambda fact: fact.position):
            self.tell(fact.event)

    @property
    def subscriptions(self):
        """How many are open, each of one id."""
        return len(self._listeners)

    def get(self, task_id, *, freshness="default", timeout=None):
        return self.get_many([task_id], freshness=freshness, timeout=timeout)[task_id]

    def get_many(self, task_ids, *, freshness="default", timeout=None):
        if self.closed:
            raise Closed("closed", what="view")
        self.reads += 1
        metas = {task_id: self._metas.get(task_id) for task_id in task_ids}
        return {task_id: meta if meta is not None and meta.exists else None for task_id, meta in metas.items()}

    def history(self, subject, *, freshness="default", timeout=None):
        return list(self._facts.get(subject, ()))

    def group(self, group_id, *, freshness="default", timeout=None):
        return None

    def subscribe(self, subjects, listener):
        if self.closed:
            raise Closed("closed", what="view")
        subjects = list(subjects)
        with self._lock:
            self._listeners.extend((subject, listener) for subject in subjects)
        return _Subscription(self, subjects, listener)

    def unsubscribe(self, subjects, listener):
        with self._lock:
            for entry in [(subject, listener) for subject in subjects]:
                self._listeners.remove(entry)


class _Subscription:
    def __init__(self, view, subjects, listener):
        self._view = view
        self._subjects = subjects
        self._listener = listener

    def close(self):
        subjects, self._subjects = self._subjects, []
        self._view.unsubscribe(subjects, self._listener)
