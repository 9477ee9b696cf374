"""What a server counts, in Prometheus' words."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
QUESTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counts of one app, in a registry of its own, and those of the processes that answer beside it.

    Where the environment's PROMETHEUS_MULTIPROC_DIR was set before prometheus_client was imported, as `Workers` does,
    each process has its counts in files of that folder; whichever is asked sums them up.
    """

    def __init__(self, version: str) -> None:
        registry = self.registry = CollectorRegistry()
        self._info = Info("dim", "What answers.", registry=registry)
        self._info.info({"version": version})
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
        self.waiting = Gauge(
            "dim_waiting", "Questions accepted and not yet answered.", registry=registry, multiprocess_mode="livesum"
        )
        self.batch_questions = Histogram(
            "dim_batch_questions", "Questions a batch.", buckets=QUESTIONS, registry=registry
        )
        self.batch_seconds = Histogram("dim_batch_seconds", "Seconds a batch.", buckets=SECONDS, registry=registry)
        self.entities = Gauge(
            "dim_entities", "Entities of the KB.", registry=registry, multiprocess_mode="livemostrecent"
        )
        workers = Gauge("dim_workers", "Processes that answer.", registry=registry, multiprocess_mode="livesum")
        workers.set(1)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        if FOLDER not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        registry.register(self._info)  # it has no file
        return generate_latest(registry)


def num_accepted(registry: CollectorRegistry) -> int:
    """Questions that were accepted so far: by one process, or by all that a registry counts together."""
    return int(registry.get_sample_value("dim_questions_total") or 0)
