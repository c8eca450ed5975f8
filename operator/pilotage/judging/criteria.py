"""Criteria and bounds as users write them (`error_ratio > 1% for 10m`, `< 50ms`), read into typed values and back.

The grammar is `resources.grammar`, the same that makes the CRD's `pattern`: what the API server lets through is read
here, and nothing else is. Units are kept as they were written; whether they fit the indicator is asked by `units`.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, cast

from pilotage.judging.explaining import refuse_bound, refuse_criterion
from pilotage.resources import grammar
from pilotage.resources.durations import parse_duration

Operator = Literal["<", "<=", ">", ">=", "==", "!="]
Suffix = Literal["", "%", "ms", "s", "m", "h", "d"]
Dimension = Literal["ratio", "seconds", "plain"]
Function = Literal["", "lift", "score", "incidents"]
Mode = Literal["", "for", "in"]

OPPOSITE: Mapping[Operator, Operator] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
COMPARE: Mapping[Operator, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}

_FACTOR: dict[str, Decimal] = {
    "": Decimal(1),
    "%": Decimal("0.01"),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_BOUND = re.compile(grammar.BOUND)
_FORMS = tuple(re.compile(form) for form in grammar.FORMS)


@dataclass(frozen=True, slots=True)
class Bound:
    """`OP VALUE[UNIT]`: `< 50ms` is op `<`, number 50, suffix `ms`."""

    op: Operator
    number: Decimal
    suffix: Suffix = ""

    @property
    def dimension(self) -> Dimension:
        """What the suffix says: `%` a ratio, a time seconds, nothing a plain number."""
        if self.suffix == "%":
            return "ratio"
        return "seconds" if self.suffix else "plain"

    @property
    def value(self) -> float:
        """The number in base units: 1% is 0.01, 50ms is 0.05."""
        return float(self.number * _FACTOR[self.suffix])

    def __str__(self) -> str:
        """As a user would write it."""
        return f"{self.op} {self.number:f}{self.suffix}"


@dataclass(frozen=True, slots=True)
class Criterion:
    """`INDICATOR OP VALUE[UNIT] [for DURATION | in DURATION | significant]`, or a function in the indicator's place.

    Attributes:
        indicator: the indicator's name; of `lift(x)` and `score(x)` the `x`; empty for `incidents(...)`.
        bound: what its value is compared with.
        mode: `for` (how long without a break), `in` (the window that the value is taken over), or "" for neither.
        duration: of the mode, as written; "" without a mode.
        function: "" where the indicator's own value is compared.
        arguments: of the function: one name for lift and score, words of severity and state for incidents, as written.
        significant: whether it must be certain in the statistical sense; lift always, nothing else ever.
    """

    indicator: str
    bound: Bound
    mode: Mode = ""
    duration: str = ""
    function: Function = ""
    arguments: tuple[str, ...] = ()
    significant: bool = False

    @property
    def duration_seconds(self) -> float:
        """The duration in seconds; 0 without one."""
        return parse_duration(self.duration) if self.duration else 0.0

    @property
    def subject(self) -> str:
        """What is compared: the indicator, or the function with its arguments."""
        return f"{self.function}({', '.join(self.arguments)})" if self.function else self.indicator

    def __str__(self) -> str:
        """As a user would write it."""
        tail = f" {self.mode} {self.duration}" if self.mode else ""
        return f"{self.subject} {self.bound}{tail}{' significant' if self.significant else ''}"


def parse_bound(text: str) -> Bound:
    """Read `OP VALUE[UNIT]`, such as `< 1%`.

    Raises:
        CriterionError: the text is no bound; the message says where, what is expected, and often the remedy.
    """
    found = _BOUND.fullmatch(text)
    if found is None:
        refuse_bound(text)
    return _bound_of(found)


def parse_criterion(text: str) -> Criterion:
    """Read a criterion such as `error_ratio > 1% for 10m` or `lift(conversions) > 10% significant`.

    Raises:
        CriterionError: the text is no criterion; the message says where, what is expected, and often the remedy.
    """
    found = next((found for form in _FORMS if (found := form.fullmatch(text))), None)
    if found is None:
        refuse_criterion(text)
    groups = found.groupdict()
    words = groups.get("words")
    indicator = groups.get("indicator") or ""
    function = cast("Function", groups.get("function") or "")
    return Criterion(
        indicator=indicator,
        bound=_bound_of(found),
        mode=cast("Mode", groups.get("mode") or ""),
        duration=groups.get("duration") or "",
        function=function,
        arguments=tuple(re.split(", ?", words)) if words else (indicator,) if function else (),
        significant=groups.get("significant") is not None,
    )


def _bound_of(found: re.Match[str]) -> Bound:
    return Bound(cast("Operator", found["op"]), Decimal(found["number"]), cast("Suffix", found["unit"]))
