"""The breaker: when Prometheus hangs or is gone, rollouts are told so at once instead of each waiting for a timeout.

It opens after failures in a row with no answer in between, so that one tenant's slow query does not stand for all.
"""

from pilotage.metrics.client import QueryError

FAILURES = 3
PAUSE_SECONDS = 5.0


class Breaker:
    """Remembers the last failures of asking."""

    def __init__(self) -> None:
        """Closed: nothing failed yet."""
        self._failures = 0
        self._opened_at = 0.0
        self._last: QueryError | None = None

    def open_at(self, now: float) -> QueryError | None:
        """The failure to answer with instead of asking; None if Prometheus shall be asked (again)."""
        if self._failures < FAILURES or now - self._opened_at >= PAUSE_SECONDS:
            return None
        return self._last

    def record(self, failure: QueryError | None, now: float) -> None:
        """Count a failure; an answer, also a rejected query, closes the breaker."""
        if failure is None or failure.kind == "rejected":
            self._failures = 0
            return
        self._failures += 1
        self._opened_at = now
        self._last = failure
