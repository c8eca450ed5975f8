"""Who had a feature on a day: users times time, by step of a rollout, as the rollout's history tells. Pure."""

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import HistoryEntry
from pilotage.tenancy.accounts import Presence
from pilotage.tenancy.cost import day_begins_at

_MOVING = (
    *("Start", "Advance", "Throttle", "Restore", "Widen", "RollBack", "Return", "Restart", "Release", "Complete"),
)
"""Actions after which other users are in than before."""

_USERS = re.compile(r"^~?([0-9][0-9,]*) users?\b")


def presences_of(rollout: PilotRollout, day: date, until: datetime) -> tuple[Presence, ...]:
    """A rollout's steps of a day, each with its user-seconds; nothing where its users can't be counted.

    Args:
        rollout: with its history, which reaches back over twenty decisions.
        day: the day, in UTC.
        until: what is over of it.
    """
    begin = day_begins_at(day)
    end = min(begin + timedelta(days=1), until)
    moves = [entry for entry in rollout.status.history if entry.action in _MOVING and entry.mode != "observe"]
    found: dict[str, tuple[int, int]] = {}
    for entry, left_at in zip(moves, _ends(moves, end), strict=True):
        users = _users(entry, rollout.status.population)
        seconds = round((min(left_at, end) - max(entry.time, begin)).total_seconds())
        if users and seconds > 0:
            known = found.get(entry.step, (0, 0))
            found[entry.step] = (known[0] + seconds, known[1] + users * seconds)
    name = f"{rollout.metadata.namespace}/{rollout.metadata.name}"
    return tuple(
        Presence(rollout=name, step=step, seconds=seconds, user_seconds=user_seconds)
        for step, (seconds, user_seconds) in found.items()
    )


def _ends(moves: Sequence[HistoryEntry], end: datetime) -> list[datetime]:
    return [*(entry.time for entry in moves[1:]), end][: len(moves)]


def _users(entry: HistoryEntry, population: int | None) -> int | None:
    if entry.admitted == "nobody":
        return 0
    if match := _USERS.match(entry.admitted):
        return int(match[1].replace(",", ""))
    return population if entry.admitted == "everybody" else None
