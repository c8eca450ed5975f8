"""The calendar in the spec: when a rollout may let users in, and when it must not, in the clocks of `spec.timeZone`."""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from pilotage.resources.base import Model, Name, Window, keyed_by
from pilotage.resources.cel import Validation, literal, reads, validations

_DAY = r"20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_LOCAL_PATTERN = rf"^{_DAY}(T{_CLOCK}(:[0-5][0-9])?)?$"
_CLOCK_PATTERN = rf"^{_CLOCK}$"

_WEEKDAY = r"(MO|TU|WE|TH|FR|SA|SU)"
_MONTH_DAY = r"-?([1-9]|1[0-9]|2[0-8])"
_MONTH = r"([1-9]|1[0-2])"
_PART = (
    r"INTERVAL=[1-9][0-9]?|UNTIL=20[0-9]{6}"
    rf"|BYDAY=(-?[1-4])?{_WEEKDAY}(,(-?[1-4])?{_WEEKDAY})*"
    rf"|BYMONTHDAY={_MONTH_DAY}(,{_MONTH_DAY})*"
    rf"|BYMONTH={_MONTH}(,{_MONTH})*"
    rf"|BYSETPOS=-?1|WKST={_WEEKDAY}"
)
RRULE_PATTERN = rf"^FREQ=(DAILY|WEEKLY|MONTHLY|YEARLY)(;({_PART}))*$"
"""What many months don't have, such as a 31st or a fifth Monday, is left out: each rule that can be
written has a next day. A search for that of one that has none would not end."""

_NTH_WEEKDAY = r"BYDAY=[^;]*[1-4]"

CONTRADICTIONS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        (
            "|".join(
                f"{part}=.*{part}=" for part in ("INTERVAL", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS")
            ),
        ),
        "a part of the rule is given twice: leave one out",
    ),
    (
        ("FREQ=(DAILY|WEEKLY)", _NTH_WEEKDAY),
        "only MONTHLY and YEARLY have a first or last weekday, such as 1TU or -1FR",
    ),
    (
        (_NTH_WEEKDAY, rf"BYDAY=([^;]*,)?{_WEEKDAY}"),
        "BYDAY mixes weekdays such as MO with first or last ones such as 1TU: give each a period of its own",
    ),
    (("FREQ=WEEKLY", "BYMONTHDAY="), "WEEKLY has no BYMONTHDAY: use MONTHLY"),
    (("BYMONTHDAY=", _NTH_WEEKDAY), "give BYMONTHDAY or a first or last weekday such as 1TU, not both"),
    (("INTERVAL=", "FREQ=(DAILY|WEEKLY|MONTHLY)", "BYMONTH="), "INTERVAL and BYMONTH may never meet: leave one out"),
    (("INTERVAL=", "FREQ=DAILY", "BY(DAY|MONTHDAY)="), "INTERVAL may never meet these days: use WEEKLY or MONTHLY"),
)
"""Patterns that a rule must not all match, and what to say then."""

NEEDS_FIRST_DAY = (
    ("INTERVAL=", ""),
    ("FREQ=WEEKLY", "BYDAY="),
    ("FREQ=(MONTHLY|YEARLY)", "BY(DAY|MONTHDAY)="),
)
"""What makes a rule count from a first day: that it matches the first pattern and not the second."""

SAYS_FIRST_DAY = "add from, a day: INTERVAL counts from it, and days that rrule doesn't name are its weekday or date"


def _all_match(patterns: tuple[str, ...]) -> str:
    return " && ".join(f"self.matches({literal(pattern)})" for pattern in patterns)


def _counts_from_first(matched: str, unmatched: str) -> str:
    matches = f"self.rrule.matches({literal(matched)})"
    return f"({matches} && !self.rrule.matches({literal(unmatched)}))" if unmatched else matches


LocalTime = Annotated[
    str,
    StringConstraints(pattern=_LOCAL_PATTERN, max_length=32),
    reads(_LOCAL_PATTERN, "write a day such as 2026-12-24, or a local time such as 2026-12-24T18:00"),
]
"""A day, or a time by the clocks of `spec.timeZone`."""

ClockTime = Annotated[
    str,
    StringConstraints(pattern=_CLOCK_PATTERN, max_length=16),
    reads(_CLOCK_PATTERN, "write a time of day such as 09:00"),
]
"""A time of day by the clocks of `spec.timeZone`."""

RecurrenceRule = Annotated[
    str,
    StringConstraints(pattern=RRULE_PATTERN, max_length=160),
    reads(
        RRULE_PATTERN,
        "write a recurrence rule (RFC 5545) of days, such as FREQ=WEEKLY;BYDAY=MO,TU,WE,TH or FREQ=MONTHLY;BYDAY=1TU;"
        " after FREQ may come INTERVAL, UNTIL (a day), BYDAY (up to 4 and -4), BYMONTHDAY (up to 28 and -28), BYMONTH,"
        " BYSETPOS (1 or -1), WKST; the time of day is the field start",
    ),
    *(Validation(f"!({_all_match(patterns)})", message) for patterns, message in CONTRADICTIONS),
]
"""A rule for the days on which something recurs, as RFC 5545 has it."""


class Period(Model):
    """A time that recurs (rrule, start, duration), or comes once (from, until)."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Validation(
                "has(self.rrule) ? has(self.duration) && !has(self.until)"
                " : has(self.from) && has(self.until) && !has(self.duration)",
                "give rrule, start and duration for what recurs, or from and until for what comes once",
            ),
            Validation(
                "!has(self.rrule) || has(self.from) || !("
                + " || ".join(_counts_from_first(*patterns) for patterns in NEEDS_FIRST_DAY)
                + ")",
                SAYS_FIRST_DAY,
                field=".rrule",
            ),
            Validation(
                "!has(self.rrule) || !has(self.from) || size(self.from) == 10",
                "beside rrule, from is a day, such as 2026-03-02; the time of day is the field start",
                field=".from",
            ),
            Validation(
                "!has(self.from) || !has(self.until) || self.from.substring(0, 10) <= self.until.substring(0, 10)",
                "until must not be before from",
                field=".until",
            ),
        )
    )

    name: Name
    """name that messages tell."""
    rrule: RecurrenceRule | None = None
    """rrule tells the days on which it recurs, such as `FREQ=WEEKLY;BYDAY=MO,TU,WE,TH` (RFC 5545)."""
    start: ClockTime = "00:00"
    """start is the time of day at which it begins. If clocks are put forward over it, it begins as long after the
    change as it should have begun after it; if it comes twice, the first counts."""
    duration: Window | None = None
    """duration from the start. Days and weeks are those of the calendar, hours and minutes are exact, also where clocks
    are changed."""
    from_: Annotated[LocalTime | None, Field(alias="from")] = None
    """from is when it begins, a day or a local time. Beside rrule, the first day: INTERVAL counts from it."""
    until: LocalTime | None = None
    """until is when it ends, a local time, or a day that belongs to it."""


class Schedule(Model):
    """When users may be let in. Nothing that takes users back ever waits for it."""

    start_time: LocalTime | None = None
    """startTime is when the first users may be let in at the earliest: a day, or a local time."""
    windows: Annotated[tuple[Period, ...], Field(max_length=16, json_schema_extra=keyed_by("name"))] = ()
    """windows in which users may be let in; at any time if there are none."""
    freezes: Annotated[tuple[Period, ...], Field(max_length=32, json_schema_extra=keyed_by("name"))] = ()
    """freezes in which nobody is let in, whatever windows say."""
