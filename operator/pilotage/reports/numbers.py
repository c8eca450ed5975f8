"""How a report writes numbers, shares and times."""

from datetime import timedelta

from pilotage.resources.durations import DAY, HOUR, MINUTE
from pilotage.resources.indicators import Unit


def write_count(number: float) -> str:
    """`3000` -> `3,000`."""
    return f"{round(number):,}"


def write_value(value: float, unit: Unit) -> str:
    """A value in the indicator's unit, as criteria write it: 0.031 -> `3.1%`, 0.25 s -> `250ms`."""
    if unit == "ratio":
        return f"{_short(value * 100)}%"
    if unit == "seconds":
        return f"{_short(value * 1000)}ms" if abs(value) < 1 else f"{_short(value)}s"
    return _short(value)


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"  # noqa: PLR2004 - where %g turns to exponents


def write_elapsed(time: timedelta) -> str:
    """A length of time in its two largest units: `45 ms`, `0.4 s`, `52 s`, `3 min 20 s`, `2 d 4 h`."""
    seconds = time.total_seconds()
    if 0 < seconds < 0.1:  # noqa: PLR2004 - below, tenths say nothing
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:  # noqa: PLR2004 - tenths matter below
        return f"{seconds:.1f} s"
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    for size, name, part, part_name in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "min"),
        (MINUTE, "min", 1.0, "s"),
    ):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            tail = f" {rest / part:.0f} {part_name}" if round(rest / part) else ""
            return f"{whole:.0f} {name}{tail}"
    raise AssertionError
