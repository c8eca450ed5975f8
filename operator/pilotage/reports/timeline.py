"""The decisions of a record, read for people: who was in when, what each decision was, how long it took. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from pilotage.reports.record import RolloutRecord
from pilotage.resources.rollout import Step
from pilotage.resources.status import HistoryEntry

MOVING = ("Start", "Advance", "Throttle", "Restore", "Widen", "RollBack", "Return", "Restart", "Release")
"""Actions after which other users are in than before."""

SHOWN = (*MOVING, "RolledBack", "Complete", "Pause", "Stall")
"""Actions that are marked in charts; the table has all."""

_USERS = re.compile(r"^~?([0-9][0-9,]*) users?\b")


@dataclass(frozen=True, slots=True)
class Level:
    """How many users were admitted from a time on; `step` is empty where nobody was."""

    at: datetime
    users: int
    step: str


def levels(record: RolloutRecord) -> tuple[Level, ...]:
    """Admitted users over time, as decided; empty where users can't be counted."""
    found = []
    for entry in record.rollout.status.history:
        if entry.action not in MOVING:
            continue
        users = _users_of(record, entry)
        if users is None:
            return ()
        found.append(Level(entry.time, users, "" if users == 0 else entry.step))
    return tuple(found)


def _users_of(record: RolloutRecord, entry: HistoryEntry) -> int | None:
    status = record.rollout.status
    if entry.admitted == "nobody":
        return 0
    if match := _USERS.match(entry.admitted):
        return int(match[1].replace(",", ""))
    return status.population if entry.admitted == "everybody" else None


def plan_text(record: RolloutRecord) -> str:
    """The plan in one line: `10 → 20 → 35 → 50 users → 30 % → 100 %`."""
    parts = [_step_text(step) for step in record.rollout.spec.steps]
    joined = [
        now.removesuffix(" users") if now.endswith(" users") and then.endswith(" users") else now
        for now, then in pairwise(parts)
    ]
    return " → ".join([*joined, parts[-1]])


def _step_text(step: Step) -> str:
    if step.users is not None:
        return f"{step.users:,} users"
    amount = f"{step.percent} %" if step.percent is not None else "all"
    return f"{amount} of {', '.join(step.cohorts)}" if step.cohorts else amount


def fault_to_decision(record: RolloutRecord) -> timedelta | None:
    """From the last fault that was marked to the rollback; None without either."""
    rollback = record.rollout.status.rollback
    faults = [mark.at for mark in record.marks if mark.kind == "fault"]
    if rollback is None or not faults:
        return None
    return rollback.decided_time - max(faults)


def decision_to_verified(record: RolloutRecord) -> timedelta | None:
    """From the rollback's decision to when the users were seen to be back."""
    rollback = record.rollout.status.rollback
    if rollback is None or rollback.verified_time is None:
        return None
    return rollback.verified_time - rollback.decided_time
