"""A day's load and what its metric says: a season, noise, one spike, and one gap in the metrics.

The load is in units of what one instance carries at its value, times 100: 300 at night, 2,100 at noon. Each 15 s have a
level of their own (8 %). For half an hour the load is 2.2 times as high. The metric is the average of the last minute;
for 20 minutes there is none, and it comes back low, as `rate()` does over a window that the gap has emptied.
"""

import math
import random
from dataclasses import dataclass

TICK_SECONDS = 15
TICKS = 86_400 // TICK_SECONDS
VALUE = 100.0
NOISE = 0.08
SPIKE, SPIKE_TICKS = 2.2, 120
GAP_TICKS = 80
WINDOW_TICKS = 4
_CLEAR_TICKS = 240
"""Spike and gap are so far apart at least, and so far from both ends of the day."""


@dataclass(frozen=True, slots=True)
class Day:
    """One day.

    Attributes:
        loads: one for each tick.
        metric: the load as the metric has it, one for each tick; None in the gap.
        spike: the tick at which the spike begins.
        gap: the tick at which the gap begins.
    """

    loads: tuple[float, ...]
    metric: tuple[float | None, ...]
    spike: int
    gap: int

    @property
    def gap_end(self) -> int:
        """The first tick with a metric again."""
        return self.gap + GAP_TICKS


def draw_day(seed: int) -> Day:
    """The day of a seed: noise and the times of spike and gap differ."""
    chance = random.Random(seed)
    spike, gap = _times(chance)
    loads = tuple(_season(tick) * _spike(tick, spike) * max(0.0, 1 + chance.gauss(0, NOISE)) for tick in range(TICKS))
    return Day(loads, tuple(_measured(loads, tick, gap) for tick in range(TICKS)), spike, gap)


def _times(chance: random.Random) -> tuple[int, int]:
    while True:
        spike = chance.randrange(_CLEAR_TICKS, TICKS - SPIKE_TICKS - _CLEAR_TICKS)
        gap = chance.randrange(_CLEAR_TICKS, TICKS - GAP_TICKS - _CLEAR_TICKS)
        if gap + GAP_TICKS + _CLEAR_TICKS < spike or spike + SPIKE_TICKS + _CLEAR_TICKS < gap:
            return spike, gap


def _season(tick: int) -> float:
    return 1200 - 900 * math.cos(2 * math.pi * tick / TICKS)


def _spike(tick: int, begins: int) -> float:
    return SPIKE if begins <= tick < begins + SPIKE_TICKS else 1.0


def _measured(loads: tuple[float, ...], tick: int, gap: int) -> float | None:
    if gap <= tick < gap + GAP_TICKS:
        return None
    window = loads[max(0, tick - WINDOW_TICKS + 1) : tick + 1]
    since_gap = tick - (gap + GAP_TICKS) + 1
    filled = min(since_gap / WINDOW_TICKS, 1.0) if since_gap > 0 else 1.0
    return sum(window) / len(window) * filled
