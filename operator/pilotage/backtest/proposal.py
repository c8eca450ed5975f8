"""Proposal: how long rules that broke by chance would have to last to break no more, found by replaying them.

Only `for` is raised: a bound says what users must not suffer, and that is no matter of statistics. The proposed value
is the smallest on the way there for which no start was rolled back; whether a shorter one elsewhere would do is not
asked.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from pilotage.backtest.healthy import Healthy
from pilotage.judging.criteria import parse_criterion
from pilotage.judging.reading import OBJECTIVE_INTERVALS
from pilotage.resources.durations import format_duration, parse_duration
from pilotage.resources.rollout import PilotRollout, PilotRolloutSpec

FACTORS = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
"""What `for` is multiplied with, one after the other. Beyond, a rule would see a fault too late to be a guard."""

_MOST_REPLAYS = 60
_CLOSE_ENOUGH = 1.1
_OBJECTIVE = re.compile(r"^spec\.objectives\[(\d+)\]")
_ROLLBACK = re.compile(r"^spec\.rollback\[(\d+)\]$")

Try = Callable[[PilotRollout], Healthy]
"""Replays a rollout from every start, until one is rolled back."""


@dataclass(frozen=True, slots=True)
class Change:
    """One rule that should last longer: the field, and what to write there."""

    field: str
    written: str
    proposed: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What to change.

    Attributes:
        changes: with which no start was rolled back; empty where none were found.
        remaining: how many were, as it is written.
        hopeless: fields of rules for which a longer time helped nothing, or which have none.
    """

    changes: tuple[Change, ...]
    remaining: int
    hopeless: tuple[str, ...] = ()


@dataclass(slots=True)
class _Ladder:
    """One rule on its way up."""

    field: str
    base_seconds: float
    rung: int = 0

    def seconds(self, interval: float) -> float:
        """The time on this rung, in whole intervals."""
        factor = FACTORS[self.rung - 1] if self.rung else 1.0
        return -(-self.base_seconds * factor // interval) * interval


def propose(rollout: PilotRollout, found: Healthy, attempt: Try) -> Proposal:
    """Raise what broke until nothing breaks, then lower it again as far as it goes.

    Args:
        rollout: as it is.
        found: what it did.
        attempt: replays a variation.
    """
    interval = parse_duration(rollout.spec.interval)
    ladders: dict[str, _Ladder] = {}
    hopeless: list[str] = []
    before, tried, replays = len(found.rolled_back), rollout, 0
    while found.breaking and not hopeless and replays < _MOST_REPLAYS:
        for field in found.breaking:
            base = seconds_of(rollout.spec, field, interval)
            ladder = ladders.setdefault(field, _Ladder(field, base or 0.0))
            if base is None or ladder.rung == len(FACTORS):
                hopeless.append(field)
            else:
                ladder.rung += 1
        tried = _with(rollout, {field: ladder.seconds(interval) for field, ladder in ladders.items() if ladder.rung})
        if not hopeless:
            found, replays = attempt(tried), replays + 1
    if found.breaking:
        return Proposal((), before, tuple(hopeless) or tuple(found.breaking))
    return _lowered(rollout, ladders, attempt, interval)


def _lowered(rollout: PilotRollout, ladders: dict[str, _Ladder], attempt: Try, interval: float) -> Proposal:
    """Between the last rung that broke and the first that didn't, each rule for itself."""
    good = {field: ladder.seconds(interval) for field, ladder in ladders.items()}
    for field, ladder in ladders.items():
        bad = replace(ladder, rung=ladder.rung - 1).seconds(interval)
        while good[field] - bad > interval and good[field] > bad * _CLOSE_ENOUGH:
            middle = -(-(good[field] + bad) / 2 // interval) * interval
            if middle >= good[field]:
                break
            if attempt(_with(rollout, {**good, field: middle})).rolled_back:
                bad = middle
            else:
                good[field] = middle
    return Proposal(tuple(_change(rollout, field, seconds) for field, seconds in good.items()), 0)


def seconds_of(spec: PilotRolloutSpec, field: str, interval: float) -> float | None:
    """How long the rule at a field lasts now, at least an interval; None where it has no such time."""
    if (found := _OBJECTIVE.match(field)) is not None:
        written = spec.objectives[int(found[1])].for_
        return parse_duration(written) if written else OBJECTIVE_INTERVALS * interval
    if (found := _ROLLBACK.match(field)) is None:
        return None
    criterion = parse_criterion(spec.rollback[int(found[1])])
    return None if criterion.mode == "in" else max(criterion.duration_seconds, interval)


def _with(rollout: PilotRollout, seconds: dict[str, float]) -> PilotRollout:
    spec = rollout.spec
    for field, value in seconds.items():
        spec = lasting(spec, field, value)
    return rollout.model_copy(update={"spec": spec})


def lasting(spec: PilotRolloutSpec, field: str, seconds: float) -> PilotRolloutSpec:
    """The spec with another `for` at a field."""
    written = format_duration(seconds)
    if (found := _OBJECTIVE.match(field)) is not None:
        index = int(found[1])
        changed = spec.objectives[index].model_copy(update={"for_": written})
        return spec.model_copy(
            update={"objectives": (*spec.objectives[:index], changed, *spec.objectives[index + 1 :])}
        )
    found = _ROLLBACK.match(field)
    assert found is not None
    index = int(found[1])
    text = str(replace(parse_criterion(spec.rollback[index]), mode="for", duration=written))
    return spec.model_copy(update={"rollback": (*spec.rollback[:index], text, *spec.rollback[index + 1 :])})


def _change(rollout: PilotRollout, field: str, seconds: float) -> Change:
    written = format_duration(seconds)
    if (found := _OBJECTIVE.match(field)) is not None:
        index = int(found[1])
        before = rollout.spec.objectives[index].for_
        return Change(f"spec.objectives[{index}].for", before or "six intervals, as nothing is written", written)
    found = _ROLLBACK.match(field)
    assert found is not None
    index = int(found[1])
    return Change(field, rollout.spec.rollback[index], lasting(rollout.spec, field, seconds).rollback[index])
