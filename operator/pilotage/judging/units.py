"""Units: what a criterion's value may be compared with, and how values are written for people.

A unit is never guessed: seconds are compared with times only, scores and counts with plain numbers only.
"""

import math
from collections.abc import Mapping

from pilotage.judging.criteria import Bound
from pilotage.resources.durations import format_duration
from pilotage.resources.indicators import Unit

FUNCTION_UNIT: Mapping[str, Unit] = {"lift": "ratio", "score": "score", "incidents": "count"}
"""What the functions of criteria yield."""


def mismatch(name: str, unit: Unit | None, bound: Bound) -> str:
    """Why an indicator of this unit can't be compared with the bound, with the remedy; empty if it can.

    A plain 0 fits every unit. A ratio may be written as a fraction below 1; 1 and more is ambiguous (1% or 100%?).
    """
    if bound.number == 0 and not bound.suffix:
        return ""
    if unit == "ratio":
        return _ratio_mismatch(name, bound)
    if unit == "seconds":
        return _seconds_mismatch(name, bound)
    if bound.dimension == "plain":
        return ""
    found = "percent" if bound.dimension == "ratio" else "seconds"
    if unit is None:
        wanted = "ratio" if bound.dimension == "ratio" else "seconds"
        return (
            f"compares {found} with an indicator that declares no unit: add `unit: {wanted}` to {name},"
            f" or write a plain number"
        )
    return f"compares {found} with a {unit}: {name} is a {unit}; write a plain number such as {bound.number:f}"


def _ratio_mismatch(name: str, bound: Bound) -> str:
    if bound.dimension == "seconds":
        return f"compares seconds with percent: {name} is a ratio; write a percentage such as 1%"
    if bound.dimension == "plain" and not -1 < bound.number < 1:
        return f"{bound.number:f} may mean {bound.number:f}% or {bound.number * 100:f}%: {name} is a ratio; write the %"
    return ""


def _seconds_mismatch(name: str, bound: Bound) -> str:
    if bound.dimension == "seconds":
        return ""
    number = bound.number
    remedy = f"{number:f}s or {number * 1000:f}ms" if number == number.to_integral_value() else f"{number:f}s"
    found = "percent" if bound.dimension == "ratio" else "a plain number"
    return f"compares seconds with {found}: {name} is in seconds; write {remedy}"


def format_value(value: float, unit: Unit | None, *, apart_from: float | None = None) -> str:
    """A value for people: `3.1%`, `48ms`, `2m5s`, `8.9`.

    Args:
        value: in base units (a ratio of 0.031, seconds).
        unit: the indicator's unit.
        apart_from: a threshold; more digits are shown where the two would read the same without being so.
    """
    text = _format(value, unit, 2)
    if apart_from is None or value == apart_from:
        return text
    for digits in range(2, 9):
        text = _format(value, unit, digits)
        if text != _format(apart_from, unit, digits):
            return text
    return text


def _format(value: float, unit: Unit | None, digits: int) -> str:
    if unit == "ratio":
        return f"{_number(value * 100, digits)}%"
    if unit != "seconds":
        return _number(value, digits)
    if abs(value) < 1:
        return f"{_number(value * 1000, max(digits - 1, 0))}ms" if value else "0s"
    if abs(value) < 60 or digits > 2:  # noqa: PLR2004 - a minute; finer than seconds only where it tells two apart
        return f"{_number(value, digits)}s"
    return ("-" if value < 0 else "") + format_duration(abs(value))


def _number(value: float, digits: int) -> str:
    """Fixed digits without trailing zeros; small numbers keep two significant digits."""
    if 0 < abs(value) < 10**-digits:
        digits = min(1 - math.floor(math.log10(abs(value))), 12)
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
