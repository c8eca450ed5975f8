"""Incident rules: how many incidents there are now, were at every moment of a time, or came within a time.

The operator remembers no incidents: what is judged are the PilotIncidents that exist. Nothing was recorded for a
rollout before it was made, so that no count of an earlier time is taken for complete.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from pilotage.judging.criteria import COMPARE, OPPOSITE, Criterion, Operator
from pilotage.judging.evidence import Evidence, Question
from pilotage.judging.incidents import Counts, Incident, State, Streak
from pilotage.judging.questions import RuleError
from pilotage.judging.rules import CONSEQUENCE, Role, Rule
from pilotage.judging.standing import Standing, distance_of, held_of, roughly
from pilotage.resources.durations import format_duration
from pilotage.resources.incident import Severity
from pilotage.resources.status import Finding, Verdict

_NAMED = 2
"""So many incidents are named in a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRule(Rule):
    """A bound on the number of incidents.

    Attributes:
        severity: which ones are counted; None counts all.
        state: `open`, `resolved`, or `any`.
        op: the operator as written.
        threshold: a whole number.
        in_seconds: the time of `in DURATION`, in which incidents are counted that began (of `resolved`: were resolved);
            0 without one.
    """

    severity: Severity | None
    state: State
    op: Operator
    threshold: float
    in_seconds: float = 0.0

    @property
    def questions(self) -> tuple[Question, ...]:
        """None: Prometheus knows nothing of them."""
        return ()

    @property
    def reach_seconds(self) -> float:
        """Its time."""
        return self.for_seconds or self.in_seconds

    @property
    def bad_op(self) -> Operator:
        """The operator of a bad count: a go criterion is turned around."""
        return OPPOSITE[self.op] if self.kind == "must-hold" else self.op

    def is_bad(self, count: float) -> bool:
        """Whether a count misses the go criterion, or meets the bound that must not apply."""
        return COMPARE[self.bad_op](count, self.threshold)

    def is_good(self, count: float) -> bool:
        """The opposite of bad."""
        return not self.is_bad(count)

    def is_surely_bad(self, count: float) -> bool:
        """Whether it is bad even if there were more."""
        return all(self.is_bad(each) for each in (count, max(count, self.threshold), inf))

    def is_surely_good(self, count: float) -> bool:
        """Whether it is good even if there were more."""
        return all(self.is_good(each) for each in (count, max(count, self.threshold), inf))

    def is_affirmed(self, count: int) -> bool:
        """Whether a count is as it is written: good for a go criterion, bad for what must not apply."""
        return COMPARE[self.op](count, self.threshold)

    def judge(self, evidence: Evidence, now: datetime) -> Finding:
        """The count now and how long it has been so; or the count within the time."""
        if evidence.incidents is None:
            return self.finding("unavailable", f"{self.indicator}: PilotIncidents can't be read (yet)")
        counts = Counts.of(evidence.incidents, self.severity, self.state)
        if self.in_seconds:
            return _judge_within(self, counts, evidence.recorded_since, now)
        named = _named(self, evidence.incidents, now)
        return _judge_present(self, counts, evidence.recorded_since, now, named)


def incident_rule(written: Criterion, text: str, role: Role, field: str) -> IncidentRule:
    """The rule of a criterion `incidents(...)`.

    Raises:
        RuleError: the number is none that can be counted to, or `in` is no time.
    """
    number = written.bound.number
    if number < 0 or number != number.to_integral_value():
        raise RuleError(field, f"{number:f} is no number of incidents: write a whole one, such as 0 or 5")
    if written.mode and not written.duration_seconds:
        raise RuleError(field, f"`{written.mode} {written.duration}` is no time: write one such as 7d, or leave it out")
    seconds = written.duration_seconds
    words = set(written.arguments)
    severity: tuple[Severity, ...] = ("critical", "major", "minor")
    state: tuple[State, ...] = ("open", "resolved")
    return IncidentRule(
        text=text,
        role=role,
        field=field,
        on_breach=CONSEQUENCE[role],
        indicator=written.subject,
        for_seconds=seconds if written.mode == "for" else 0.0,
        severity=next((each for each in severity if each in words), None),
        state=next((each for each in state if each in words), "any"),
        op=written.bound.op,
        threshold=written.bound.value,
        in_seconds=seconds if written.mode == "in" else 0.0,
    )


def _judge_present(
    rule: IncidentRule, counts: Counts, recorded: datetime | None, now: datetime, named: Sequence[Incident]
) -> Finding:
    """By the count now; with `for`, only what was so all the time is affirmed: a pass of go, a breach of the others."""
    count = counts.after(now)
    affirmed, which = rule.is_affirmed(count), _which(named)
    if rule.is_bad(count):
        streak = counts.streak(rule.is_bad, rule.is_surely_bad, now, recorded)
    else:
        streak = counts.streak(rule.is_good, rule.is_surely_good, now, recorded)
    if not affirmed or _lasted(rule, streak, now):
        verdict: Verdict = "breach" if rule.is_bad(count) else "pass"
        held = f" for {format_duration(rule.for_seconds)}" if affirmed and rule.for_seconds else ""
        remedy = _resolve(named) if verdict == "breach" else ""
        time = rule.for_seconds if affirmed else 0.0
        return _counted(
            rule,
            count,
            verdict,
            held + which,
            since=streak.since,
            evidence=held_of(time, rule.for_seconds),
            remedy=remedy,
        )
    assert streak.since is not None
    so_far = (now - streak.since).total_seconds()
    held = f" (for {format_duration(so_far)} of {format_duration(rule.for_seconds)}){which}"
    earliest = streak.since + timedelta(seconds=rule.for_seconds)
    left = roughly(rule.for_seconds - so_far)
    again = f"{rule.indicator} {rule.op} {rule.threshold:g} for {left} more"
    return _counted(
        rule,
        count,
        "pending",
        held,
        since=streak.since,
        earliest=earliest,
        evidence=held_of(so_far, rule.for_seconds),
        remedy=_resolve(named) if rule.is_bad(count) else again,
    )


def _lasted(rule: IncidentRule, streak: Streak, now: datetime) -> bool:
    return streak.since is None or now - streak.since >= timedelta(seconds=rule.for_seconds)


def _judge_within(rule: IncidentRule, counts: Counts, recorded: datetime | None, now: datetime) -> Finding:
    """By the count within the time; where the record is shorter, only what more incidents can't change is affirmed."""
    window = timedelta(seconds=rule.in_seconds)
    moved = counts.moved_within(now - window, now)
    count = len(moved)
    affirmed = rule.is_affirmed(count)
    verdict: Verdict = "breach" if rule.is_bad(count) else "pass"
    within = f" in {format_duration(rule.in_seconds)}"
    sure = rule.is_surely_bad(count) or rule.is_surely_good(count)
    if affirmed and recorded is not None and recorded > now - window and not sure:
        known = format_duration(max(0.0, (now - recorded).total_seconds()))
        message = f"{within} (recorded for {known} of it)"
        return _counted(rule, count, "pending", message, since=recorded, earliest=recorded + window)
    earliest = _met_at(rule, moved, recorded) if verdict == "breach" and rule.kind == "must-hold" else None
    remedy = f"no further one until {earliest:%Y-%m-%d %H:%M %Z}" if earliest else ""
    return _counted(rule, count, verdict, within, earliest=earliest, remedy=remedy)


def _met_at(rule: IncidentRule, moved: tuple[datetime, ...], recorded: datetime | None) -> datetime | None:
    """When enough of them will have left the time, if no others come."""
    window = timedelta(seconds=rule.in_seconds)
    for left, moment in enumerate(moved, start=1):
        if rule.is_good(len(moved) - left):
            return max(moment, recorded or moment) + window
    return None


def _named(rule: IncidentRule, incidents: tuple[Incident, ...], now: datetime) -> list[Incident]:
    """Those that are open and have a name, oldest first, where open ones are counted."""
    if rule.state != "open":
        return []
    counted = [each for each in incidents if rule.severity in (None, each.severity) and each.is_open(now)]
    return sorted((each for each in counted if each.name), key=lambda incident: incident.started_at)


def _which(named: Sequence[Incident]) -> str:
    """Their names, and since when they are open."""
    said = [f"{each.name} since {each.started_at:%Y-%m-%d %H:%M %Z}" for each in named[:_NAMED]]
    return f": {', '.join(said)}{_more(named)}" if said else ""


def _resolve(named: Sequence[Incident]) -> str:
    """What to do about them."""
    names = ", ".join(each.name for each in named[:_NAMED])
    return f"resolve {names}{_more(named)}" if names else ""


def _more(named: Sequence[Incident]) -> str:
    return f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""


def _counted(
    rule: IncidentRule,
    count: int,
    verdict: Verdict,
    suffix: str,
    *,
    since: datetime | None = None,
    earliest: datetime | None = None,
    evidence: str = "",
    remedy: str = "",
) -> Finding:
    compared = rule.bad_op if rule.is_bad(count) else OPPOSITE[rule.bad_op]
    message = f"{rule.indicator} {count} {compared} {rule.threshold:g}{suffix}"
    standing = Standing(
        bound=f"{rule.op} {rule.threshold:g}",
        evidence=evidence,
        distance=distance_of(count, rule.threshold, "count"),
        remedy=remedy,
    )
    return rule.finding(verdict, message, value=str(count), since=since, earliest=earliest, standing=standing)
