"""Who may travel with others: a query that Prometheus has answered alone, as one whole vector, quickly and completely.

That is proof that it is a complete expression, so that joined with others it can spoil nobody's answer. Whoever was in
a request that went wrong has to prove itself again, alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from pilotage.metrics.client import QueryError
from pilotage.metrics.fetching import Fetched
from pilotage.metrics.streams import Stream

QUICK_SECONDS = 1.0
_VALID_SECONDS = 3600.0
_SWEEP_SECONDS = 60.0


class _Stage(Enum):
    TAKEN = "as it is written; what it yields may be a scalar"
    PROVEN = "as one vector"
    NEVER = "not as a vector"


@dataclass(frozen=True, slots=True)
class _Proof:
    stage: _Stage
    until: float


class Proofs:
    """Remembers, for an hour, what each stream's queries have shown. Times are monotonic seconds."""

    def __init__(self) -> None:
        """Nobody has shown anything."""
        self._known: dict[tuple[str, ...], _Proof] = {}
        self._swept_at = 0.0

    def allow_joining(self, stream: Stream, now: float) -> bool:
        """Whether it may be asked together with others."""
        return self._stage(stream, now) is _Stage.PROVEN

    def want_vector(self, stream: Stream, now: float) -> bool:
        """Whether its next answer shall show that it is a vector."""
        return self._stage(stream, now) is _Stage.TAKEN

    def record(self, stream: Stream, fetched: Fetched, now: float) -> None:
        """Learn from an answer that it got alone."""
        self._sweep(now)
        if self._stage(stream, now) is _Stage.NEVER:
            return
        if stage := _shown(stream, fetched, wanted=self.want_vector(stream, now)):
            self._known[stream.queries] = _Proof(stage, now + _VALID_SECONDS)
        else:
            self._known.pop(stream.queries, None)

    def withdraw(self, streams: Iterable[Stream]) -> None:
        """Forget what these have shown: together, something went wrong."""
        for stream in streams:
            self._known.pop(stream.queries, None)

    def _stage(self, stream: Stream, now: float) -> _Stage | None:
        known = self._known.get(stream.queries)
        return known.stage if known and now < known.until else None

    def _sweep(self, now: float) -> None:
        if now - self._swept_at >= _SWEEP_SECONDS:
            self._known = {queries: proof for queries, proof in self._known.items() if now < proof.until}
            self._swept_at = now


def _shown(stream: Stream, fetched: Fetched, *, wanted: bool) -> _Stage | None:
    outcome = fetched.outcome
    if isinstance(outcome, QueryError):
        return _Stage.NEVER if outcome.kind == "rejected" else None
    if fetched.seconds > QUICK_SECONDS or any(parts.partial for parts in outcome):
        return None
    if fetched.is_vector:
        return _Stage.PROVEN
    return _Stage.NEVER if wanted or len(stream.queries) > 1 else _Stage.TAKEN
