"""Long ranges: Prometheus gives at most 11,000 points a series; more are asked for in pieces and put together."""

import math
from array import array
from collections.abc import Iterator, Sequence

from pilotage.metrics.client import Reply, Sampled

MOST_POINTS = 11_000
"""Prometheus refuses a range of more (`exceeded maximum resolution of 11,000 points per timeseries`)."""


def chunks(start: float, end: float, step: float) -> Iterator[tuple[float, float]]:
    """Start and end of ranges that hold each step from start to end (Unix seconds, both included) exactly once."""
    steps = math.floor((end - start) / step + 1e-9)
    for first in range(0, steps + 1, MOST_POINTS):
        last = min(first + MOST_POINTS - 1, steps)
        yield start + first * step, start + last * step


def concatenated(replies: Sequence[Reply]) -> Reply:
    """One reply of those to successive ranges; partial if one of them is."""
    if len(replies) == 1:
        return replies[0]
    joined: dict[frozenset[tuple[str, str]], Sampled] = {}
    for reply in replies:
        for series in reply.series:
            key = frozenset(series.labels.items())
            whole = joined.setdefault(key, Sampled(series.labels, array("d"), array("d")))
            whole.times.extend(series.times)
            whole.values.extend(series.values)
    return Reply(tuple(joined.values()), partial=any(reply.partial for reply in replies))
