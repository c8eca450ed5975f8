"""What the shop tells Prometheus: requests, errors, latency, conversions and satisfaction, by feature and variant.

Every label set is there from the start, at zero: a counter that first appears at 1 would lose its first error.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

VARIANTS = ("on", "off")

_LABELS = ("app", "feature", "variant")
_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.5)
_SMOOTHING = 0.02


class ShopMetrics:
    """The shop's metrics, each by feature and variant."""

    def __init__(self, features: Iterable[str]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library says nothing of its types here
        self.registry = CollectorRegistry()
        self._requests = Counter("http_requests", "Requests answered.", _LABELS, registry=self.registry)
        self._errors = Counter("http_errors", "Requests answered with a 5xx.", _LABELS, registry=self.registry)
        self._seconds = Histogram(
            "http_request_duration_seconds", "Time to answer.", _LABELS, buckets=_BUCKETS, registry=self.registry
        )
        self._conversions = Counter("conversions", "Requests that led to an order.", _LABELS, registry=self.registry)
        self._satisfaction = Gauge(
            "satisfaction_score", "Moving average of the users' ratings, 0 to 10.", _LABELS, registry=self.registry
        )
        self._exposed = Gauge(
            "exposed_users", "Distinct users by the variant that they saw last.", _LABELS, registry=self.registry
        )
        self._last_seen: dict[tuple[str, str], str] = {}
        self._ratings: dict[tuple[str, str], tuple[float, int]] = {}
        for feature in features:
            for variant in VARIANTS:
                self._initialise(feature, variant)

    def _initialise(self, feature: str, variant: str) -> None:
        labels = ("shop", feature, variant)
        for metric in (self._requests, self._errors, self._seconds, self._conversions, self._exposed):
            metric.labels(*labels)

    def answered(self, feature: str, variant: str, *, seconds: float, failed: bool) -> None:
        """Count one request, how long it took, and whether it failed."""
        labels = ("shop", feature, variant)
        self._requests.labels(*labels).inc()
        self._seconds.labels(*labels).observe(seconds)
        if failed:
            self._errors.labels(*labels).inc()

    def exposed(self, feature: str, variant: str, user: str) -> None:
        """Remember which variant this user saw last."""
        before = self._last_seen.get((feature, user))
        if before == variant:
            return
        if before is not None:
            self._exposed.labels("shop", feature, before).dec()
        self._last_seen[feature, user] = variant
        self._exposed.labels("shop", feature, variant).inc()

    def converted(self, feature: str, variant: str) -> None:
        """Count one request that led to an order."""
        self._conversions.labels("shop", feature, variant).inc()

    def rated(self, feature: str, variant: str, rating: float) -> None:
        """Let one rating (0 to 10) into the moving average."""
        before, count = self._ratings.get((feature, variant), (rating, 0))
        # The first ratings make a plain mean: one of them must not weigh on all that follow.
        mean = before + max(_SMOOTHING, 1 / (count + 1)) * (rating - before)
        self._ratings[feature, variant] = mean, count + 1
        self._satisfaction.labels("shop", feature, variant).set(mean)

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
