"""Queries of OpenSLO documents as Pilotage needs them: counts in `$window`, errors instead of successes."""

import re
from dataclasses import dataclass

from pilotage.resources.durations import MINUTE, parse_duration
from pilotage.resources.grammar import DURATION

_LONGEST_WINDOW_SECONDS = 60 * MINUTE
_LEAST_WINDOW_SECONDS = MINUTE

# Texts come first: what stands in them is no range and no function.
_TOKENS = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|\#[^\n]*)"""
    r"""|\[(?P<range>[^\]]*)\]|\b(?P<rate>i?rate)(?=\s*\()""",
    re.DOTALL,
)
_PLACEHOLDER = re.compile(r"\{\{.*\}\}|\$\{?_?_?[A-Za-z_]+\}?")
_LABELS = r"\{(?:[^{}\"]|\"(?:\\.|[^\"\\])*\")*\}"
_SELECTOR = rf"(?:[a-zA-Z_:][a-zA-Z0-9_:]*\s*(?:{_LABELS})?|{_LABELS})"
_BY = r"(?:\s*(?:by|without)\s*\([^()]*\))?"
_COUNTER = re.compile(rf"(?P<head>sum{_BY}\s*\(\s*)(?P<inner>{_SELECTOR})(?P<tail>\s*\){_BY})|(?P<bare>{_SELECTOR})")


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL with `$window` in it.

    Attributes:
        promql: the query.
        ranges: the fixed ranges that `$window` replaced, such as `5m`.
        changes: what was changed, for people.
    """

    promql: str
    ranges: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def has_window(self) -> bool:
        """Whether it uses `$window`."""
        return "[$window]" in self.promql


def with_window(promql: str, *, counts: bool) -> Query:
    """The query with `$window` for its fixed ranges.

    Args:
        promql: as the document has it.
        counts: whether it shall count events: rates become increases.
    """
    ranges: list[str] = []
    changes: list[str] = []

    def changed(found: re.Match[str]) -> str:
        if found["rate"] and counts:
            changes.append(f"{found['rate']}(...) became increase(...), which counts events")
            return "increase"
        span = (found["range"] or "").strip()
        if re.fullmatch(DURATION, span):
            ranges.append(span)
            changes.append(f"[{span}] became [$window]")
            return "[$window]"
        if _PLACEHOLDER.fullmatch(span):
            if span != "$window":
                changes.append(f"[{span}] became [$window]")
            return "[$window]"
        if span:
            changes.append(f"[{span}] is a subquery and stays as it is")
        return found[0]

    made = _TOKENS.sub(changed, promql.strip())
    return Query(made, tuple(ranges), tuple(dict.fromkeys(changes)))


def counted(promql: str) -> Query | None:
    """A counter's query without a range, as its increase in `$window`; None where it is too intricate to say so."""
    found = _COUNTER.fullmatch(promql.strip())
    if found is None:
        return None
    change = "a counter: its increase in $window is counted"
    if found["bare"]:
        return Query(f"sum(increase({found['bare'].strip()}[$window]))", (), (change,))
    inner = f"increase({found['inner'].strip()}[$window])"
    return Query(f"{found['head']}{inner}{found['tail']}", (), (change,))


def errors_of(good: str, total: str) -> str:
    """Errors as total less good.

    In a total outage good finds nothing, and so would the difference: then all of total are errors. Rounding in
    increases must not make them negative.
    """
    return f"clamp_min(({total}) - (({good}) or ({total}) * 0), 0)"


def common_window(*queries: Query) -> str:
    """The range that all of the queries had, where it is one to judge by: from a minute to an hour; else empty."""
    ranges = {span for query in queries for span in query.ranges}
    if len(ranges) != 1:
        return ""
    (span,) = ranges
    return span if _LEAST_WINDOW_SECONDS <= parse_duration(span) <= _LONGEST_WINDOW_SECONDS else ""
