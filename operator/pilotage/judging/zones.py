"""Time zones by their IANA names, as `spec.timeZone` gives them."""

from datetime import UTC, tzinfo
from difflib import get_close_matches
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from pilotage.judging.questions import RuleError


def find_zone(name: str, field: str = "spec.timeZone") -> tzinfo:
    """The zone of this name.

    Raises:
        RuleError: there is none; `field` is where it was named.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    # A folder of zones (`America`) and a name that leads out of the database fail in their own ways.
    except (KeyError, ValueError, OSError) as error:
        raise RuleError(field, f"there is no time zone {name!r}: write an IANA name such as {_near(name)}") from error


@cache
def _near(name: str) -> str:
    """The known name that looks most like it."""
    known = {zone.lower(): zone for zone in available_timezones()}
    city = {zone.rpartition("/")[2]: zone for zone in known}
    wanted = name.lower().replace(" ", "_")
    found = get_close_matches(wanted, known, 1) or [city[near] for near in get_close_matches(wanted, city, 1)]
    return known[found[0]] if found else "Europe/Berlin"
