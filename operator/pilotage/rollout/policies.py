"""Policies: the small rules of a rollout, in the order of safety. Each answers with a move, or leaves it to the next.

Taking users back comes before everything that grows, pauses or explains; what is unknown holds. No policy looks at the
clock or at the world: all it knows is the situation.
"""

from collections.abc import Callable, Sequence

from pilotage.rollout.growth import advance, await_delivery, begin, find_step, hold, restore
from pilotage.rollout.safety import finish_rollback, pause, release, rest, shed, stall, start_over, take_back
from pilotage.rollout.situation import Move, Situation

Policy = Callable[[Situation], Move | None]

POLICIES: Sequence[Policy] = (
    release,
    take_back,
    finish_rollback,
    start_over,
    rest,
    shed,
    stall,
    pause,
    begin,
    find_step,
    restore,
    await_delivery,
    hold,
    advance,
)
