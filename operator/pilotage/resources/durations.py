"""Durations as Prometheus writes them (`90s`, `1h30m`, `14d`), to and from seconds."""

import re

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"([0-9]{1,6})(ms|[smhdw])")


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `1h30m`.

    Raises:
        ValueError: the text is not a sequence of number and unit (ms, s, m, h, d, w).
    """
    parts = _PART.findall(text)
    if not parts or "".join(n + u for n, u in parts) != text:
        message = f"{text!r} is not a duration; write a number and a unit such as 90s, 10m, 14d or 1h30m"
        raise ValueError(message)
    return sum(int(number) * _SECONDS[unit] for number, unit in parts)


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
