"""Criteria and bounds as users write them (`error_ratio > 1% for 10m`, `< 50ms`), read into typed values and back.

The grammar is `resources.grammar`, the same that makes the CRD's `pattern`: what the API server lets through is read
here, and nothing else is. Units are kept as they were written; whether they fit the indicator is asked by `units`.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, cast

from pilotage.resources import grammar
from pilotage.resources.durations import parse_duration

Operator = Literal["<", "<=", ">", ">=", "==", "!="]
Suffix = Literal["", "%", "ms", "s", "m", "h", "d"]
Dimension = Literal["ratio", "seconds", "plain"]

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
_CRITERION = re.compile(grammar.CRITERION)


class CriterionError(ValueError):
    """A text that the grammar does not know; the message says where it goes wrong and what is expected there."""

    def __init__(self, text: str, position: int, expected: str) -> None:
        """Keep the place; `position` counts characters from 0."""
        self.text = text
        self.position = position
        self.expected = expected
        found = f"found {text[position : position + 12]!r}" if position < len(text) else "it ends there"
        super().__init__(f"character {position + 1} of {text!r}: expected {expected}, {found}")


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
    """`INDICATOR OP VALUE[UNIT] [for DURATION | in DURATION]`.

    Attributes:
        indicator: the indicator's name.
        bound: what its value is compared with.
        mode: `for` (how long without a break), `in` (the window that the value is taken over), or "" for neither.
        duration: of the mode, as written; "" without a mode.
    """

    indicator: str
    bound: Bound
    mode: Literal["", "for", "in"] = ""
    duration: str = ""

    @property
    def duration_seconds(self) -> float:
        """The duration in seconds; 0 without one."""
        return parse_duration(self.duration) if self.duration else 0.0

    def __str__(self) -> str:
        """As a user would write it."""
        tail = f" {self.mode} {self.duration}" if self.mode else ""
        return f"{self.indicator} {self.bound}{tail}"


def parse_bound(text: str) -> Bound:
    """Read `OP VALUE[UNIT]`, such as `< 1%`.

    Raises:
        CriterionError: the text is no bound; the message says where and what is expected.
    """
    found = _BOUND.fullmatch(text)
    if found is None:
        raise _explain(text, _BOUND_PARTS, _BOUND_END)
    return _bound_of(found)


def parse_criterion(text: str) -> Criterion:
    """Read `INDICATOR OP VALUE[UNIT] [for DURATION | in DURATION]`, such as `error_ratio > 1% for 10m`.

    Raises:
        CriterionError: the text is no criterion; the message says where and what is expected.
    """
    found = _CRITERION.fullmatch(text)
    if found is None:
        raise _explain_criterion(text)
    mode = cast("Literal['', 'for', 'in']", found["mode"] or "")
    return Criterion(found["indicator"], _bound_of(found), mode, found["duration"] or "")


def _bound_of(found: re.Match[str]) -> Bound:
    return Bound(cast("Operator", found["op"]), Decimal(found["number"]), cast("Suffix", found["unit"]))


_BOUND_PARTS = (
    (re.compile(grammar.OPERATOR), "an operator (<, <=, >, >=, ==, !=)"),
    (re.compile(rf" ?{grammar.NUMBER}"), "a number such as 5, 0.5 or 99.9"),
)
_CRITERION_PARTS = (
    (re.compile(grammar.INDICATOR), "the name of an indicator, such as error_ratio"),
    (re.compile(rf" ?{grammar.OPERATOR}"), "an operator (<, <=, >, >=, ==, !=)"),
    _BOUND_PARTS[1],
)
_UNIT = re.compile(grammar.UNIT)
_MODE = re.compile(" (for|in) ")
_DURATION = re.compile(grammar.DURATION)
_BOUND_END = "a unit (%, ms, s, m, h, d) or the end"
_CRITERION_END = "a unit (%, ms, s, m, h, d), `for` or `in` with a duration, or the end"


def _explain(text: str, parts: tuple[tuple[re.Pattern[str], str], ...], end: str) -> CriterionError:
    """Where a text that doesn't match stops to do so."""
    position = 0
    for pattern, expected in parts:
        found = pattern.match(text, position)
        if found is None:
            blank = position > 0 and text.startswith(" ", position)
            return CriterionError(text, position + blank, expected)
        position = found.end()
    unit = _UNIT.match(text, position)
    return CriterionError(text, unit.end() if unit else position, end)


def _explain_criterion(text: str) -> CriterionError:
    error = _explain(text, _CRITERION_PARTS, _CRITERION_END)
    mode = _MODE.match(text, error.position)
    if error.expected != _CRITERION_END or mode is None:
        return error
    duration = _DURATION.match(text, mode.end())
    if duration is None:
        return CriterionError(text, mode.end(), "a duration such as 90s, 10m or 14d")
    return CriterionError(text, duration.end(), "the end")
