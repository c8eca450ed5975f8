"""The go / no-go matrix of a report: each criterion with value and bound, and whether the rollout may go on. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pilotage.resources.status import WORST_FIRST, Finding, PilotRolloutStatus, ReadinessStatus, Role, Verdict

_SAYS: Mapping[Role, str] = {
    "go": "go",
    "objective": "objective",
    "noGo": "no-go",
    "blocker": "blocker",
    "burnRate": "burn rate",
    "assignment": "assignment",
    "bucketing": "bucketing",
    "readinessWarning": "warning",
}
"""Roles that say whether to go on, in this order; the others say when to go back."""

_STATES: Mapping[str, tuple[str, str]] = {
    "Ready": ("good", "Go: nothing stands against the next step."),
    "NotReady": ("bad", "No-go."),
    "Unknown": ("caution", "No-go: not everything is known."),
}

_RULE = re.compile(r"(?P<subject>[a-z][a-z0-9_-]*(\([^)]*\))?) ?(?P<bound>[<>=!].*)")


@dataclass(frozen=True, slots=True)
class Line:
    """One criterion.

    Attributes:
        role: for people.
        criterion: what is measured.
        value: last seen; empty without data.
        bound: as it is written.
        verdict: what it says.
        since: since when it says so.
        earliest: when it can be met at the earliest.
    """

    role: str
    criterion: str
    value: str
    bound: str
    verdict: Verdict
    since: datetime | None
    earliest: datetime | None


@dataclass(frozen=True, slots=True)
class Matrix:
    """What stands for and against going on.

    Attributes:
        tone: good, bad or caution.
        sentence: the answer.
        blockers: what stands against it.
        warnings: what people should know.
        unknown: what can't be told.
        lines: the criteria, by role, what is worst first.
    """

    tone: str
    sentence: str
    blockers: tuple[str, ...]
    warnings: tuple[str, ...]
    unknown: tuple[str, ...]
    lines: tuple[Line, ...]


def matrix_of(status: PilotRolloutStatus) -> Matrix | None:
    """The matrix; None where no criterion says whether to go on."""
    roles = list(_SAYS)
    asked = [found for found in status.criteria if found.role in roles]
    if not asked:
        return None
    asked.sort(key=lambda found: (roles.index(found.role), WORST_FIRST.index(found.verdict)))
    readiness = status.readiness or ReadinessStatus(state=_state(asked))
    tone, sentence = _STATES[readiness.state]
    return Matrix(
        tone,
        sentence,
        readiness.blockers,
        readiness.warnings,
        readiness.unknown,
        tuple(_line(found) for found in asked),
    )


def _state(asked: list[Finding]) -> str:
    """The answer where spec.readiness asks for no assessment."""
    verdicts = {found.verdict for found in asked if found.role != "readinessWarning"}
    if verdicts & {"breach", "pending"}:
        return "NotReady"
    return "Unknown" if verdicts & {"no-data", "unavailable"} else "Ready"


def _line(found: Finding) -> Line:
    written = _RULE.fullmatch(found.rule)
    return Line(
        role=_SAYS[found.role],
        criterion=written["subject"] if written else found.rule,
        value=found.value,
        bound=written["bound"] if written else found.bound or "",
        verdict=found.verdict,
        since=found.since,
        earliest=found.earliest,
    )
