"""What Prometheus is told. Counters count what this process folded for the first time: a rebuild moves none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from eventresults.errors import EventResultsError
from eventresults.projector import Step
from eventresults.service.web.vitals import Pulse, Vitals

MEDIA_TYPE = CONTENT_TYPE_LATEST
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
#: What the fold counts of a poll, by the name of the counter here.
COUNTED = {"folded": "folded", "dead": "rejected", "duplicate": "duplicate"}
DROPPED = ("refolded", "nothing-there", "after-forgotten")


@dataclass(frozen=True, kw_only=True)
class Present:
    """What is going on in the service at this moment, asked when it is told."""

    connections: Callable[[], dict[str, int]]
    waiters: Callable[[], int]
    watchers: Callable[[], int]


class Metrics:
    """A registry of its own; `observe` is the projector's observer, `text` the exposition. Any thread."""

    def __init__(self, pulse: Pulse) -> None:
        self.registry = CollectorRegistry()
        labels = ("partition",)
        told = {
            "folded": "Facts folded into the view.",
            "rejected": "Records that are no event of ours, kept as dead letters.",
            "duplicate": "Facts that were in the view already, by their event id.",
        }
        self._counters = {name: Counter(f"eventresults_{name}_events", text, labels, registry=self.registry) for name, text in told.items()}
        self._dropped = Counter(
            "eventresults_dropped_events", "Facts that changed nothing, by the reason.", ("partition", "reason"), registry=self.registry
        )
        self._records = Counter("eventresults_projected_records", "Records read from the log.", labels, registry=self.registry)
        self._fold = Histogram(
            "eventresults_fold_seconds", "Time to fold one poll of a partition.", buckets=BUCKETS, registry=self.registry
        )
        self._commit = Histogram("eventresults_commit_seconds", "Time to commit one poll.", buckets=BUCKETS, registry=self.registry)
        #: By partition: the log, and up to where it was counted.
        self._counted: dict[int, tuple[str, int]] = {}
        self._sampled = Sampled(pulse)
        self.registry.register(self._sampled)

    def present(self, present: Present) -> None:
        """Tell of these from now on."""
        self._sampled.present = present

    def observe(self, step: Step) -> None:
        """Count one step of the projector, on its thread."""
        self._fold.observe(step.fold_seconds)
        self._commit.observe(step.commit_seconds)
        log_id, counted = self._counted.get(step.partition, ("", 0))
        if log_id == step.after.log_id and step.before.next_offset < counted:
            return  # folded again, in another generation
        self._counted[step.partition] = step.after.log_id, step.after.next_offset
        partition, before, after = str(step.partition), step.before.counts, step.after.counts
        for kind, name in COUNTED.items():
            self._counters[name].labels(partition).inc(after.get(kind, 0) - before.get(kind, 0))
        self._records.labels(partition).inc(after.get("records", 0) - before.get("records", 0))
        for reason in DROPPED:
            if more := after.get(reason, 0) - before.get(reason, 0):
                self._dropped.labels(partition, reason).inc(more)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format. May block for some seconds."""
        return generate_latest(self.registry)


class Sampled(Collector):
    """What is looked up when it is asked for."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self.present: Present | None = None

    def describe(self) -> Iterable[Metric]:
        """Nothing need be asked to be registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Ask."""
        up = GaugeMetricFamily("eventresults_view_up", "1 while the view is open and nothing holds it up.")
        try:
            vitals = self._pulse.take()
        except EventResultsError:
            vitals = None
            up.add_metric((), 0)
        else:
            up.add_metric((), float(vitals is None or vitals.trouble is None))
        yield up
        if vitals is not None:
            yield from _of_view(vitals)
        if self.present is not None:
            yield from _of_service(self.present)


def _of_view(vitals: Vitals) -> Iterator[Metric]:
    labels = ("partition",)
    position = GaugeMetricFamily("eventresults_position", "The offset that is folded next.", labels=labels)
    records = GaugeMetricFamily("eventresults_lag_records", "Records of the log that are not folded yet.", labels=labels)
    seconds = GaugeMetricFamily("eventresults_lag_seconds", "How long the first of them has waited.", labels=labels)
    size = GaugeMetricFamily("eventresults_view_bytes", "About how many bytes the shard takes.", labels=labels)
    appended = CounterMetricFamily("eventresults_appended_events", "Records that the log was ever appended: its end.", labels=labels)
    for partition, one in vitals.partitions.items():
        label = (str(partition),)
        if one.end is not None:
            appended.add_metric(label, one.end)
        position.add_metric(label, one.position)
        size.add_metric(label, one.size)
        if one.lag is not None:
            records.add_metric(label, one.lag)
        if one.lag_seconds is not None:
            seconds.add_metric(label, one.lag_seconds)
    yield from (appended, position, records, seconds, size)
    yield GaugeMetricFamily("eventresults_view_generation", "Which build of the view this is.", value=vitals.generation)
    if vitals.projections:
        failed = GaugeMetricFamily(
            "eventresults_projection_failed", "1 for a projection whose code failed in this partition.", labels=("projection", "partition")
        )
        for (name, partition), has in vitals.projections.items():
            failed.add_metric((name, str(partition)), float(has))
        yield failed


def _of_service(present: Present) -> Iterator[Metric]:
    connections = GaugeMetricFamily("eventresults_connections", "Requests, streams and sockets that are open.", labels=("kind",))
    for kind, count in present.connections().items():
        connections.add_metric((kind,), count)
    yield connections
    yield GaugeMetricFamily("eventresults_waiters", "Reads that wait for an answer.", value=present.waiters())
    yield GaugeMetricFamily("eventresults_watchers", "Ids that are watched.", value=present.watchers())
