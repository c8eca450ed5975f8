"""Lives through a day by a rule: instances are ready 30 s after they are asked for, and go at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from bench.scaling.day import TICK_SECONDS, TICKS, VALUE, Day, draw_day
from bench.scaling.rules import Scaler

START_SECONDS = 30
FIRST_REPLICAS = 5
AFTER_GAP_TICKS = 40
"""What happens in the ten minutes after a gap is its work too."""

_OVER = 1.2


@dataclass(frozen=True, slots=True)
class Lived:
    """What became of one day; `replicas` is there for the plot, one for each tick."""

    replicas: tuple[int, ...]
    over_percent: float
    replica_hours: float
    changes: int
    reversals: int
    gap_reversals: int


@dataclass(frozen=True, slots=True)
class Score:
    """A rule over many days: means, the worst day, and the number of reversals in all gaps together."""

    rule: str
    over_percent: float
    over_worst: float
    replica_hours: float
    changes: float
    reversals: float
    gap_reversals: int


def measure(rules: Mapping[str, Callable[[], Scaler]], seeds: Sequence[int]) -> list[Score]:
    """Each rule on each of the days."""
    days = [draw_day(seed) for seed in seeds]
    return [score_of(rule, [live(make(), day) for day in days]) for rule, make in rules.items()]


def score_of(rule: str, lived: Sequence[Lived]) -> Score:
    """A rule's score over days that it has lived through."""
    return Score(
        rule=rule,
        over_percent=fmean(each.over_percent for each in lived),
        over_worst=max(each.over_percent for each in lived),
        replica_hours=fmean(each.replica_hours for each in lived),
        changes=fmean(each.changes for each in lived),
        reversals=fmean(each.reversals for each in lived),
        gap_reversals=sum(each.gap_reversals for each in lived),
    )


def live(scaler: Scaler, day: Day) -> Lived:
    """One day by one rule."""
    replicas, over, starting = FIRST_REPLICAS, 0, [0] * (TICKS + START_SECONDS // TICK_SECONDS + 1)
    counts, changes = [], []
    for tick in range(TICKS):
        pending = sum(starting[tick + 1 : tick + 1 + START_SECONDS // TICK_SECONDS])
        ready = max(replicas - pending, 1)
        over += day.loads[tick] > _OVER * VALUE * ready
        wanted = scaler.want(tick * TICK_SECONDS, replicas, ready, day.metric[tick])
        if wanted != replicas:
            changes.append((tick, wanted - replicas))
            _start_or_stop(starting, tick, wanted - replicas)
        counts.append(replicas)
        replicas = wanted
    in_gap = [each for each in changes if day.gap <= each[0] < day.gap_end + AFTER_GAP_TICKS]
    return Lived(
        tuple(counts),
        over_percent=100 * over / TICKS,
        replica_hours=sum(counts) * TICK_SECONDS / 3600,
        changes=len(changes),
        reversals=_reversals(changes),
        gap_reversals=_reversals(in_gap),
    )


def _start_or_stop(starting: list[int], tick: int, by: int) -> None:
    """Those that are added are ready later; of those that go, the ones that are not ready yet go first."""
    ready_at = tick + 1 + START_SECONDS // TICK_SECONDS
    if by > 0:
        starting[ready_at] += by
        return
    for at in range(ready_at, tick, -1):
        gone = min(starting[at], -by)
        starting[at] -= gone
        by += gone


def _reversals(changes: Sequence[tuple[int, int]]) -> int:
    return sum((first > 0) != (second > 0) for (_, first), (_, second) in pairwise(changes))
