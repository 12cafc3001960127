"""What the hub counts about itself, in the Prometheus text format, without patient data."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_LATENCIES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """All counters of one hub; a registry of its own, so that several hubs fit in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.elsewhere: Callable[[], Mapping[str, str]] = dict
        """What other processes of the hub have exposed last, by a name for each."""
        self.associations = self._counter(
            "associations", "Associations asked for, by what became of them", "outcome"
        )
        self.associations_open = self._gauge("associations_open", "Associations open now")
        self.instances = self._counter(
            "instances_received", "Instances received, by what became of them", "site", "outcome"
        )
        self.instance_bytes = self._counter("instance_bytes", "Bytes of datasets archived", "site")
        self.store_seconds = self._histogram(
            "store_seconds", "From the last fragment of an instance to its durable receipt"
        )
        self.findable_seconds = self._histogram(
            "findable_seconds", "From the durable receipt of an instance to its row in the index"
        )
        self.find_seconds = self._histogram(
            "find_seconds", "Time to answer a C-FIND or QIDO-RS query", "door"
        )
        self.request_seconds = self._histogram(
            "http_request_seconds", "Time to the first byte of an answer", "endpoint", "status"
        )
        self.render_seconds = self._histogram(
            "render_seconds", "Time to render one version of a study", "recipe"
        )
        self.certificate_days = self._gauge(
            "certificate_days_left", "Days until a certificate ends", "kind", "name"
        )
        self.quota_used = self._gauge(
            "site_quota_used", "Share that a site has used of its fullest quota", "site"
        )
        self.outbox = self._gauge("outbox_deliveries", "Deliveries owed to subscribers", "state")
        self._count_desks()
        self._count_forwarding()

    def exposition(self) -> bytes:
        """Return the current values in the Prometheus text format.

        Those of other processes have a label `process`; theirs begin at 0 when one is replaced.
        """
        return generate_latest(_Together(self.registry, self.elsewhere()))

    def _count_desks(self) -> None:
        self.conflicts = self._gauge(
            "conflicts_open", "Cases at the conflict desk that wait for a person", "reason"
        )
        self.emergencies = self._gauge(
            "emergency_accesses_unreviewed", "Emergency accesses that wait for a reviewer"
        )

    def _count_forwarding(self) -> None:
        self.forwarded = self._counter(
            "forwarded_instances", "Answers of destinations, by class", "destination", "verdict"
        )
        self.forwarded_bytes = self._counter(
            "forwarded_bytes", "Bytes of datasets that destinations have taken", "destination"
        )
        self.forwarding_items = self._gauge(
            "forwarding_items", "Instances not done for a destination", "destination", "state"
        )
        self.forwarding_oldest_seconds = self._gauge(
            "forwarding_oldest_seconds", "Age of the oldest queued instance", "destination"
        )
        self.forwarding_breaker = self._gauge(
            "forwarding_breaker",
            "1 for the state a destination's breaker is in",
            "destination",
            "state",
        )

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"eirhub_{name}", words, labels, registry=self.registry)

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"eirhub_{name}", words, labels, registry=self.registry)

    def _histogram(self, name: str, words: str, *labels: str) -> Histogram:
        return Histogram(
            f"eirhub_{name}", words, labels, buckets=_LATENCIES_S, registry=self.registry
        )


@dataclass(frozen=True)
class _Together(Collector):
    """One exposition of a registry and of what other processes have exposed of the same metrics."""

    registry: CollectorRegistry
    elsewhere: Mapping[str, str]

    def collect(self) -> Iterator[Metric]:
        theirs: dict[str, list[Metric]] = {}
        for process, text in self.elsewhere.items():
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    sample.labels["process"] = process
                theirs.setdefault(family.name, []).append(family)
        for own in self.registry.collect():
            for family in theirs.get(own.name, []):
                own.samples += family.samples
            yield own
