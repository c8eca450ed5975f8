"""One run for one rollout: see, decide, write the decision, then act on it. Nothing is decided here.

The order is the point. The decision is written before anything follows from it, so that whoever takes over after a
crash finds what was meant, and brings it about. What follows, follows at once and in the same run: a rollback is
judged, recorded, carried out and verified without waiting for anything else.

A run ends by asking the queue for the next one: at once when something was brought about (a step's clock starts when
its users have the feature), after a growing pause when something failed, at the next judgement, or, at rest, at the
resync.
"""

import asyncio
import logging
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pilotage.controller.clock import Clock
from pilotage.controller.directory import NOT_READ
from pilotage.controller.effects import Effects, Force, Look, key_of, takes_back
from pilotage.controller.evidence import Gatherer
from pilotage.controller.record import Recorder
from pilotage.controller.rollouts import FINALIZER, Rollouts
from pilotage.controller.schedule import Key, Urgency
from pilotage.controller.store import RolloutStore
from pilotage.controller.telemetry import FAILURES
from pilotage.controller.workqueue import WorkQueue
from pilotage.delivery.target import DeliveryConflictError, DeliveryError
from pilotage.kube import KubeError
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import PilotRolloutStatus
from pilotage.rollout.decide import Decision, decide, exposure_of, is_delivered
from pilotage.rollout.exposure import Exposure
from pilotage.rollout.plan import Plan, read_plan
from pilotage.rollout.situation import Seen

_LOG = logging.getLogger(__name__)

RESYNC_SECONDS = 600.0
"""How often a rollout at rest is looked at: that its flag still says what was decided. It costs no API call."""

KILL_RETRY_SECONDS = 1.0
"""Longest pause before taking users back is tried again, for ever."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a run works with."""

    store: RolloutStore
    templates: Mapping[str, IndicatorTemplateSpec]
    queue: WorkQueue
    gatherer: Gatherer
    effects: Effects
    rollouts: Rollouts
    recorder: Recorder
    clock: Clock
    chance: random.Random


class Reconciler:
    """Runs for one rollout at a time; many at once for different ones."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def run(self, key: Key) -> None:
        """See, decide, write, act; ask for the next run.

        Raises:
            NotLeadingError: this replica does not lead (any more).
        """
        rollout = self._tools.store.get(key)
        if rollout is None or (rollout.metadata.deletion_timestamp and FINALIZER not in rollout.metadata.finalizers):
            self.forget(key)
            return
        try:
            await self._run(key, rollout)
        except KubeError as error:
            await self._recover(key, error)

    def forget(self, key: Key) -> None:
        """The rollout is gone: so is all that was remembered of it."""
        self._tools.queue.forget(key)
        self._tools.effects.forget(key)
        self._tools.recorder.forget(key)

    async def _run(self, key: Key, rollout: PilotRollout) -> None:
        plan = read_plan(rollout, self._tools.templates)
        seen, look = await self._see(rollout, plan)
        decision = decide(plan, rollout, seen, self._tools.clock.now())
        if NOT_READ in decision.status.message:
            seen = await self._tools.gatherer.read_directory(rollout, seen)
            decision = decide(plan, rollout, seen, self._tools.clock.now())
        if await self._carry_out(rollout, decision, look):
            self._tools.queue.succeeded(key)
        self._ask_for_next(key, decision, plan)

    async def _see(self, rollout: PilotRollout, plan: Plan) -> tuple[Seen, Look]:
        """Evidence and delivery at the same time: neither waits for the other."""
        want = exposure_of(rollout, rollout.status)
        if want is None:
            return await self._tools.gatherer.judge(rollout, plan), Look(Force.UNKNOWN)
        seen, look = await asyncio.gather(
            self._tools.gatherer.judge(rollout, plan), self._tools.effects.look(rollout, want)
        )
        delivered = self._tools.effects.delivered(key_of(rollout), want, look)
        if _at_rest(rollout.status) and look.force is Force.UNKNOWN:
            delivered = replace(delivered, message="")  # an outage is no reason to write into all that rest
        return replace(seen, delivered=delivered), look

    async def _carry_out(self, rollout: PilotRollout, decision: Decision, look: Look) -> bool:
        """Write the decision and bring it about; tells whether there is nothing to try again."""
        want = exposure_of(rollout, decision.status)
        if want != exposure_of(rollout, rollout.status):
            look = Look(Force.NOT_IN_FORCE)
            if want and takes_back(decision.status, want) and not decision.released:
                self._tools.effects.taking_back(key_of(rollout))
        written = await self._write(rollout, decision.status, want)
        if decision.released:
            return await self._release(written, want)
        if want is None or (look.force is Force.UNKNOWN and _at_rest(decision.status)):
            return True
        if self._tools.effects.needs_writing(key_of(rollout), want, look):
            return await self._bring_about(written, want)
        if want.kind != "off":
            await self._tools.rollouts.hold(written)  # somebody may have taken our finalizer away
        return True

    async def _write(self, rollout: PilotRollout, status: PilotRolloutStatus, want: Exposure | None) -> PilotRollout:
        """Write the decision. If that fails, taking users back does not wait for it: the next run decides the same."""
        try:
            written = await self._tools.rollouts.write_status(rollout, status)
        except KubeError as error:
            if error.reason not in ("Conflict", "NotFound") and want and takes_back(status, want):
                await self._bring_about(rollout.model_copy(update={"status": status}), want)
            raise
        self._tools.recorder.tell(written)
        return written

    async def _bring_about(self, rollout: PilotRollout, want: Exposure) -> bool:
        key, way_back = key_of(rollout), takes_back(rollout.status, want)
        again = self._tools.effects.was_written(key, want)
        try:
            look = await self._tools.effects.bring_about(rollout, want)
        except DeliveryError as error:
            _LOG.warning("not delivered: %s", error, extra={**fields_of(key), "reason": type(error).__name__})
            FAILURES.labels("delivery").inc()
            return self._try_again(key, way_back=way_back and not isinstance(error, DeliveryConflictError))
        if look.force is Force.IN_FORCE and not again:
            self._tools.queue.add(key, Urgency.FOLLOW_UP)
            return True
        undone = "written again: something else had undone it"
        pending = f"written, but not in force yet: {look.message}"
        _LOG.info("%s", undone if look.force is Force.IN_FORCE else pending, extra=fields_of(key))
        return self._try_again(key, way_back=way_back)

    async def _release(self, rollout: PilotRollout, final: Exposure | None) -> bool:
        key = key_of(rollout)
        try:
            await self._tools.effects.release(rollout, final)
        except DeliveryError as error:
            _LOG.warning("the final state can't be left: %s", error, extra=fields_of(key))
            FAILURES.labels("delivery").inc()
            return self._try_again(key, way_back=False)
        return True

    async def _recover(self, key: Key, error: KubeError) -> None:
        """The API server refused or failed: look what is there now, where that may help, and try again."""
        if error.reason in ("Conflict", "NotFound"):
            try:
                await self._tools.rollouts.refresh(key)
            except KubeError as another:
                error = another
            else:
                self._tools.queue.retry(key, Urgency.FOLLOW_UP, cap_seconds=KILL_RETRY_SECONDS)
                return
        _LOG.warning("%s", error, extra={**fields_of(key), "reason": error.reason, "detail": error.detail})
        FAILURES.labels("api").inc()
        self._tools.queue.retry(key)

    def _try_again(self, key: Key, *, way_back: bool) -> bool:
        if way_back:
            self._tools.queue.retry(key, Urgency.FOLLOW_UP, cap_seconds=KILL_RETRY_SECONDS)
        else:
            self._tools.queue.retry(key)
        return False

    def _ask_for_next(self, key: Key, decision: Decision, plan: Plan) -> None:
        if decision.wake_at is None:
            spread = RESYNC_SECONDS * self._tools.chance.uniform(0.75, 1.25)
            self._tools.queue.add(key, Urgency.RESYNC, after_seconds=spread)
            return
        now = self._tools.clock.now().timestamp()
        wake_at = on_grid(decision.wake_at.timestamp(), now, plan.interval_seconds)
        self._tools.queue.add(key, Urgency.TIMER, after_seconds=wake_at - now)


def on_grid(wake_at: float, now: float, interval_seconds: float) -> float:
    """The last multiple of the interval before `wake_at` that is still to come, else `wake_at` itself.

    Judgements of all rollouts with the same interval so fall on the same moments, and what they ask in common is asked
    once. It is never later than asked for: a hold that ends between two multiples is ended on time.
    """
    grid = math.floor(wake_at / interval_seconds) * interval_seconds
    return grid if grid > now else wake_at


def fields_of(key: Key) -> dict[str, str]:
    """The fields that log lines about a rollout carry."""
    return {"namespace": key.namespace, "rollout": key.name}


def _at_rest(status: PilotRolloutStatus) -> bool:
    return is_delivered(status) and status.phase in ("Completed", "RolledBack")
