"""Durations as Prometheus writes them (`90s`, `1h30m`, `14d`), to and from seconds."""

import re

from pilotage.resources.grammar import DURATION

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
"""In seconds."""

_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_WHOLE = re.compile(DURATION)
_PART = re.compile(r"([0-9]+)(ms|[smhdw])")


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `1h30m`.

    Raises:
        ValueError: the text is not a sequence of number and unit (ms, s, m, h, d, w).
    """
    if not _WHOLE.fullmatch(text):
        message = f"{text!r} is not a duration; write a number and a unit such as 90s, 10m, 14d or 1h30m"
        raise ValueError(message)
    # Summed as integers: 43 times 0.001 is not 0.043.
    return sum(int(number) * _MILLISECONDS[unit] for number, unit in _PART.findall(text)) / 1000


def split_duration(text: str) -> tuple[int, float]:
    """Days, and seconds besides, of a duration such as `1d12h`: where days of the calendar are meant.

    Raises:
        ValueError: the text is not a duration.
    """
    seconds = parse_duration(text)
    days = sum(int(number) * _MILLISECONDS[unit] for number, unit in _PART.findall(text) if unit in "dw") / 1000 / DAY
    return round(days), seconds - days * DAY


def format_duration(seconds: float) -> str:
    """The shortest common way to write it, exact to a second: 1209600 -> `14d`, 5400 -> `1h30m`, 0.5 -> `500ms`."""
    if 0 < seconds < 1:
        return f"{round(seconds * 1000)}ms"
    left = round(seconds)
    text = ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            text += f"{count}{unit}"
    return text or "0s"
