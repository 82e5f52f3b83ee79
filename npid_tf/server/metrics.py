"""The metrics at `/metrics`, in Prometheus' format."""

import prometheus_client


class Metrics:
    """Counts of one server: requests, their seconds, the batches, the versions."""

    def __init__(self):
        self.registry = prometheus_client.CollectorRegistry()
        self.requests = prometheus_client.Counter(
            "npid_requests",
            "Requests answered, by route and HTTP status or gRPC code",
            ["route", "status"],
            registry=self.registry,
        )
        self.seconds = prometheus_client.Histogram(
            "npid_request_seconds",
            "Seconds from a request's header to its answer",
            ["route"],
            registry=self.registry,
        )
        self.batch_rows = prometheus_client.Histogram(
            "npid_batch_rows",
            "Images that one call of a model answered",
            buckets=[1, 2, 4, 8, 16, 32, 64, 128, 256],
            registry=self.registry,
        )
        self.waiting = prometheus_client.Gauge(
            "npid_waiting_rows", "Images that wait for a batch", registry=self.registry
        )
        self.versions = prometheus_client.Gauge(
            "npid_model_version", "Version served", ["model"], registry=self.registry
        )

    def count(self, route, status, seconds):
        """Counts a request that was answered."""
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def text(self):
        """bytes, for Prometheus to read."""
        return prometheus_client.generate_latest(self.registry)
