"""What a server counts, in Prometheus' words."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
QUESTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counts of one app, in a registry of its own.

    Args:
        version: Of dim.
    """

    def __init__(self, version: str) -> None:
        registry = self.registry = CollectorRegistry()
        Info("dim", "What answers.", registry=registry).info({"version": version})
        self.requests = Counter("dim_requests", "Requests answered.", ["route", "status"], registry=registry)
        self.seconds = Histogram(
            "dim_request_seconds", "From a request's head to its answer.", ["route"], buckets=SECONDS, registry=registry
        )
        self.rejected = Counter(
            "dim_rejected", "Questions that were not accepted, at least one a request.", ["reason"], registry=registry
        )
        self.accepted = Counter("dim_questions", "Questions accepted.", registry=registry)
        self.abandoned = Counter(
            "dim_abandoned", "Accepted questions whose client left or ran out of time.", registry=registry
        )
        self.waiting = Gauge("dim_waiting", "Questions accepted and not yet answered.", registry=registry)
        self.batch_questions = Histogram(
            "dim_batch_questions", "Questions a batch.", buckets=QUESTIONS, registry=registry
        )
        self.batch_seconds = Histogram("dim_batch_seconds", "Seconds a batch.", buckets=SECONDS, registry=registry)
        self.entities = Gauge("dim_entities", "Entities of the KB.", registry=registry)

    def num_accepted(self) -> int:
        """Questions accepted so far."""
        return int(self.registry.get_sample_value("dim_questions_total") or 0)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
