"""Folds the buckets of a histogram into errors over total: what lies above a bound counts as an error.

A cumulative bucket `le` counts the events up to its boundary, `+Inf` all of them. Only at a boundary is it known how
many lie above: between two, a histogram could only guess.
"""

import math
from array import array
from collections.abc import Mapping

from pilotage.judging.evidence import PARTIAL, Answer, NoData
from pilotage.metrics.client import Reply, Sampled
from pilotage.metrics.fold import EMPTY, fold_ratio

LE = "le"
"""Prometheus' label for a bucket's upper boundary."""

UNBOUNDED = NoData("a histogram has no single value: give it `above`, or bound it by objectives with quantile")

_Buckets = Mapping[float, Sampled]
_SAME = 1e-9


def fold_buckets(reply: Reply, label: str, *, above: float | None, start: float, by: str = "") -> Answer:
    """The answer to a query of buckets: the share of events above the bound, weighted by all events.

    Args:
        reply: counts of events by variant and `le`.
        label: tells variants apart.
        above: the bound, in the histogram's unit; must be a boundary of its buckets.
        start: samples before it (Unix seconds) are left out.
        by: the labels that the query should aggregate by, for the remedy; the label alone if empty.
    """
    if reply.partial:
        return PARTIAL
    if above is None:
        return UNBOUNDED
    by = by or label
    try:
        found = _by_variant(reply, label, by)
        for buckets in found.values():
            _check(buckets, above)
    except _BucketsError as wrong:
        return NoData(str(wrong))
    if not found:
        return EMPTY
    errors, total = zip(*(_counts(variant, label, found[variant], above) for variant in found), strict=True)
    return fold_ratio(Reply(errors), Reply(total), label, start=start, by=by)


class _BucketsError(Exception):
    """The buckets can't tell how many events lie above the bound."""


def _by_variant(reply: Reply, label: str, by: str) -> Mapping[str, _Buckets]:
    found: dict[str, dict[float, Sampled]] = {}
    for series in reply.series:
        boundary = _boundary(series)
        if boundary is None:
            message = f"the answer lacks the label {LE}: aggregate by it too, such as sum by ({by}, {LE}) (...)"
            raise _BucketsError(message)
        buckets = found.setdefault(series.labels.get(label, ""), {})
        if boundary in buckets:
            message = f"several series for one bucket: aggregate the query, such as sum by ({by}, {LE}) (...)"
            raise _BucketsError(message)
        buckets[boundary] = series
    return found


def _boundary(series: Sampled) -> float | None:
    try:
        return float(series.labels.get(LE, ""))
    except ValueError:
        return None


def _check(buckets: _Buckets, above: float) -> None:
    """Refuse buckets that have no boundary at the bound."""
    if math.inf not in buckets:
        raise _BucketsError(f'the buckets lack {LE}="+Inf", which counts all events')
    if any(math.isclose(boundary, above, rel_tol=_SAME) for boundary in buckets):
        return
    lower = max((boundary for boundary in buckets if boundary < above), default=None)
    upper = min((boundary for boundary in buckets if above < boundary < math.inf), default=None)
    near = [f"{boundary:g}" for boundary in (lower, upper) if boundary is not None]
    remedy = f"take {' or '.join(near)}, or add the bucket" if near else "add the bucket"
    raise _BucketsError(f"{above:g} is no boundary of the histogram's buckets: {remedy}")


def _counts(variant: str, label: str, buckets: _Buckets, above: float) -> tuple[Sampled, Sampled]:
    """Errors and total of one variant; a step at which the bound's bucket has no sample is none of either."""
    boundary = next(boundary for boundary in buckets if math.isclose(boundary, above, rel_tol=_SAME))
    within = dict(zip(buckets[boundary].times, buckets[boundary].values, strict=True))
    everything = buckets[math.inf]
    kept = [(at, count) for at, count in zip(everything.times, everything.values, strict=True) if at in within]
    labels = {label: variant} if variant else {}
    times = array("d", (at for at, _ in kept))
    # Scraped in one go, buckets are cumulative; extrapolation may leave a hair between them.
    errors = array("d", (max(count - within[at], 0.0) for at, count in kept))
    return Sampled(labels, times, errors), Sampled(labels, times, array("d", (count for _, count in kept)))
