"""Folds what Prometheus replied into an answer: by variant, errors over total, or why there is nothing to judge by."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping

from pilotage.judging.evidence import PARTIAL, Answer, Answered, NoData, Series
from pilotage.metrics.client import Reply, Sampled

EMPTY = NoData("Prometheus has no data")
NOT_A_NUMBER = NoData("no data: the query yields NaN")
NO_EVENTS = NoData("no data: there were no events")

_ByVariant = Mapping[str, Mapping[float, float]]


class _DoubledError(Exception):
    """Several series for one variant."""


def fold_query(reply: Reply, label: str, *, start: float, by: str = "") -> Answer:
    """The answer to one query.

    Args:
        reply: what came back; it may reach back further than asked.
        label: tells variants apart.
        start: samples before it (Unix seconds) are left out.
        by: the labels that the query should aggregate by, for the remedy; the label alone if empty.
    """
    if reply.partial:
        return PARTIAL
    try:
        found = _by_variant(reply.series, label, start, by or label)
    except _DoubledError as doubled:
        return NoData(str(doubled))
    finite = {
        variant: {at: value for at, value in samples.items() if math.isfinite(value)}
        for variant, samples in found.items()
    }
    if not any(finite.values()):
        return NOT_A_NUMBER if any(found.values()) else EMPTY
    return Answered(tuple((variant, _series(samples)) for variant, samples in sorted(finite.items()) if samples))


def fold_ratio(
    errors: Reply, total: Reply, label: str, *, start: float, by: str = "", counts: str = "errors"
) -> Answer:
    """The answer to errors (or good) and total: none of them with a total are zero, no total is no data.

    Args:
        errors: counts of bad events; or of good ones, whose ratio is made the same way.
        total: counts of all events.
        label: tells variants apart.
        start: samples before it (Unix seconds) are left out.
        by: the labels that the query should aggregate by, for the remedy; the label alone if empty.
        counts: what is counted beside total, for the remedy: errors or good.
    """
    if errors.partial or total.partial:
        return PARTIAL
    try:
        bad, all_ = (_by_variant(reply.series, label, start, by or label) for reply in (errors, total))
    except _DoubledError as doubled:
        return NoData(str(doubled))
    if not any(all_.values()):
        return EMPTY
    if _labelled_apart(set(bad), set(all_)):
        return NoData(f"{counts} and total differ in the label {label}: aggregate both by it, or neither")
    ratios = {variant: _ratios(bad.get(variant, {}), counted) for variant, counted in all_.items()}
    if not any(series.times for series in ratios.values()):
        return NO_EVENTS
    return Answered(tuple((variant, series) for variant, series in sorted(ratios.items()) if series.times))


def _labelled_apart(bad: set[str], all_: set[str]) -> bool:
    """Whether one of the two tells variants apart and the other doesn't: errors would be nobody's, hence none."""
    return ("" in bad and "" not in all_) or (bool(bad - {""}) and all_ == {""})


def _by_variant(found: Iterable[Sampled], label: str, start: float, by: str) -> _ByVariant:
    by_variant: dict[str, dict[float, float]] = {}
    for series in found:
        variant = series.labels.get(label, "")
        first = bisect_left(series.times, start - 0.001)
        samples = dict(zip(series.times[first:], series.values[first:], strict=True))
        if not samples:
            continue
        if variant in by_variant:
            named = f"the variant {variant}" if variant else "one value"
            message = f"several series for {named}: aggregate the query, such as sum by ({by}) (...)"
            raise _DoubledError(message)
        by_variant[variant] = samples
    return by_variant


def _ratios(bad: Mapping[float, float], counted: Mapping[float, float]) -> Series:
    """Errors over total where there is a total; a total without errors is zero errors, errors of NaN are no data."""
    kept = [
        (at, bad.get(at, 0.0) / total, total)
        for at, total in counted.items()
        if math.isfinite(total) and total > 0 and math.isfinite(bad.get(at, 0.0))
    ]
    return Series(
        times=tuple(at for at, _, _ in kept),
        values=tuple(ratio for _, ratio, _ in kept),
        weights=tuple(total for _, _, total in kept),
    )


def _series(samples: Mapping[float, float]) -> Series:
    return Series(times=tuple(samples), values=tuple(samples.values()))
