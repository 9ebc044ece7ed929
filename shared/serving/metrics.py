"""What the server counts, under the names that TensorFlow Serving gives to Prometheus."""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

_BUCKETS = tuple(10 * 1.8**power for power in range(33))
"""In microseconds."""


@dataclass(frozen=True)
class ServingMetrics:
    """Counters of one server."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    latency: Histogram = field(init=False)

    def __post_init__(self) -> None:
        requests = Counter(
            ":tensorflow:serving:request_count",
            "Requests.",
            ("model_name", "status"),
            registry=self.registry,
        )
        latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Time from the whole request to the whole answer, in microseconds.",
            ("model_name", "API", "entrypoint"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        object.__setattr__(self, "requests", requests)
        object.__setattr__(self, "latency", latency)

    def count(self, model: str, api: str, entrypoint: str, status: str, seconds: float) -> None:
        """Counts one answered request.

        Args:
            model: A known model's name, or "" if the request names no such model.
            api: Such as `Predict`.
            entrypoint: `REST` or `GRPC`.
            status: Name of the gRPC code.
            seconds: How long it took.
        """
        self.requests.labels(model, status).inc()
        self.latency.labels(model, api, entrypoint).observe(seconds * 1e6)

    def text(self) -> bytes:
        """The text form of Prometheus."""
        # TensorFlow Serving's counter has no suffix.
        return generate_latest(self.registry).replace(b":request_count_total{", b":request_count{")
