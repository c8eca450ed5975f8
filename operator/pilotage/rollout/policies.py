"""Policies: the small rules of a rollout, in the order of safety. Each answers with a move, or leaves it to the next.

Taking users back comes before everything that grows, pauses or explains; what is unknown holds. No policy looks at the
clock or at the world: all it knows is the situation.
"""

from collections.abc import Callable, Sequence

from pilotage.rollout.editing import take_edit
from pilotage.rollout.force import await_delivery, await_sight
from pilotage.rollout.gates import await_approval
from pilotage.rollout.growth import advance, begin, find_step, hold, regrow, restore
from pilotage.rollout.heeding import heed, heed_rollback
from pilotage.rollout.observing import enforce
from pilotage.rollout.precedence import await_flag, await_others
from pilotage.rollout.retry import acknowledge, await_retry
from pilotage.rollout.rollback import finish_rollback, resume_rollback, take_back
from pilotage.rollout.safety import exclude, pause, release, rest, shed, stall, start_over
from pilotage.rollout.situation import Move, Situation
from pilotage.rollout.tenant_state import close_archived, misplaced, suspend

Policy = Callable[[Situation], Move | None]

POLICIES: Sequence[Policy] = (
    release,
    close_archived,
    enforce,
    take_back,
    heed_rollback,
    resume_rollback,
    finish_rollback,
    start_over,
    acknowledge,
    heed,
    rest,
    await_retry,
    shed,
    exclude,
    suspend,
    stall,
    misplaced,
    pause,
    await_flag,
    await_others,
    begin,
    find_step,
    restore,
    regrow,
    await_delivery,
    take_edit,
    hold,
    await_sight,
    await_approval,
    advance,
)
