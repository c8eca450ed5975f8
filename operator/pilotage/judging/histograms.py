"""Histograms as errors: p95 < 500ms says that at most 5% of the requests may take longer.

So latency is judged like errors, by every kind of rule: a share of events, with the number that it rests on. The bound
must be a boundary of the buckets; only there is it known how many events lie above.
"""

from dataclasses import replace
from decimal import Decimal

from pilotage.judging.criteria import Bound
from pilotage.judging.questions import Resolved, RuleError


def over_quantile(indicator: Resolved, bound: Bound, quantile: Decimal, field: str) -> tuple[Resolved, Bound]:
    """A bound on a histogram's quantile as a bound on the share of events above it.

    Args:
        indicator: a histogram.
        bound: such as `< 500ms`, what is good, or `> 1s`, what is bad.
        quantile: percent, such as 95: the 95th percentile is bounded.
        field: of the bound.

    Returns:
        the indicator of the share, and its bound, such as `<= 5%`.

    Raises:
        RuleError: the bound is none of an upper limit.
    """
    if bound.op not in ("<", "<=", ">", ">="):
        raise RuleError(field, f"{bound} can't bound a quantile: write < for what is good, > for what is bad")
    share = Bound("<=" if bound.op[0] == "<" else ">", 100 - quantile, "%")
    return share_above(indicator, bound), share


def share_above(indicator: Resolved, bound: Bound) -> Resolved:
    """The indicator of the share of a histogram's events above a bound."""
    return replace(
        indicator,
        name=f"{indicator.name} over {bound.number:f}{bound.suffix}",
        measurement=replace(indicator.measurement, above=bound.value),
        unit="ratio",
    )


def check_quantile(indicator: Resolved, bound: Bound, role: str, path: str) -> None:
    """Refuse a quantile where there is nothing to take it of, or that would bound what is fast.

    Args:
        indicator: that the objective names.
        bound: of the role.
        role: objective, warning or critical.
        path: of the objective.

    Raises:
        RuleError: with the remedy.
    """
    measurement, field = indicator.measurement, f"{path}.quantile"
    if not measurement.buckets:
        raise RuleError(field, f"is for histograms: give {indicator.name} buckets, or leave quantile away")
    if measurement.above is not None:
        raise RuleError(field, f"{indicator.name} is already the share above a bound: leave quantile or above away")
    if role == "objective" and bound.op[0] != "<":
        raise RuleError(field, f"bounds what is slow: write the objective as an upper limit, not {bound}")
