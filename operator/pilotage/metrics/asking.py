"""Asks Prometheus for streams from a bounded pool of threads: together where that is safe, else each for itself.

Long histories have a lane of their own: nobody with a short question waits for them. Within a lane, namespaces take
turns, and each has a breaker of its own: that one's queries hang stands for nobody else.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from pilotage.metrics.batching import Batcher
from pilotage.metrics.breaker import Breaker
from pilotage.metrics.client import PrometheusClient, QueryError
from pilotage.metrics.fetching import Outcome, fetch, fetch_together
from pilotage.metrics.proofs import QUICK_SECONDS, Proofs
from pilotage.metrics.streams import Stream
from pilotage.metrics.turns import ASKED_BY, Turns

LONG_CONCURRENCY = 2
"""Long histories at once: they take seconds each."""

_QUICK_TOGETHER_SECONDS = 2 * QUICK_SECONDS


@dataclass(frozen=True, slots=True)
class _Lane:
    turns: Turns
    breakers: dict[str, Breaker] = field(default_factory=dict)

    def breaker(self, owner: str) -> Breaker:
        return self.breakers.setdefault(owner, Breaker())


class Asker:
    """Turns streams into requests; never raises for Prometheus' faults.

    Args:
        client: of Prometheus; keeps `concurrency` and `LONG_CONCURRENCY` connections.
        concurrency: short requests at once.
    """

    def __init__(self, client: PrometheusClient, concurrency: int) -> None:
        self._client = client
        self._short = _Lane(Turns(concurrency, "prometheus"))
        self._long = _Lane(Turns(LONG_CONCURRENCY, "prometheus-long"))
        self._proofs = Proofs()
        self._batches = Batcher(self._together)

    async def ask(self, stream: Stream, span: float, until: float) -> Outcome:
        """What came of a stream over a span, by a monotonic second."""
        lane = self._long if stream.is_long else self._short
        now = time.monotonic()
        if (down := lane.breaker(ASKED_BY.get()).open_at(now)) is not None:
            return down
        if self._proofs.allow_joining(stream, now):
            outcome = await self._batches.ask(stream, span, until)
            if outcome is not None:
                return outcome
        return await self._alone(lane, stream, span, until)

    async def close(self) -> None:
        """Give up what is under way, and what has not begun."""
        await self._batches.close()
        for lane in (self._short, self._long):
            lane.turns.shut_down()

    async def _alone(self, lane: _Lane, stream: Stream, span: float, until: float) -> Outcome:
        owner = ASKED_BY.get()
        as_vector = self._proofs.want_vector(stream, time.monotonic())
        work = partial(fetch, self._client, stream, span, until, as_vector=as_vector)
        fetched = await lane.turns.run(owner, work)
        now = time.monotonic()
        lane.breaker(owner).record(fetched.outcome if isinstance(fetched.outcome, QueryError) else None, now)
        if not (stream.is_long or stream.is_shared):
            self._proofs.record(stream, fetched, now)
        return fetched.outcome

    async def _together(self, streams: Sequence[Stream], span: float, until: float) -> Sequence[Outcome] | None:
        began = time.monotonic()
        outcomes = await self._short.turns.run("", partial(fetch_together, self._client, streams, span, until))
        now = time.monotonic()
        if outcomes is None or now - began > _QUICK_TOGETHER_SECONDS:
            self._proofs.withdraw(streams)
        if outcomes is not None:
            for breaker in self._short.breakers.values():
                breaker.record(None, now)
        return outcomes
