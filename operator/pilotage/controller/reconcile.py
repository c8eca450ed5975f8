"""One run for one rollout: see, decide, write the decision, then act on it. Nothing is decided here.

The order is the point. The decision is written before anything follows from it, so that whoever takes over after a
crash finds what was meant, and brings it about. One decision is in force before it is written: to take everybody back.
Whoever takes over finds it at the flag (docs/decisions/0017-off-before-it-is-written.md).

A run ends by asking the queue for the next one: at once when something was brought about (a step's clock starts when
its users have the feature), after a growing pause when something failed, at the next judgement, or, at rest, at the
next resync of its namespace.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from pilotage.controller.capacity import Capacities
from pilotage.controller.clock import Clock
from pilotage.controller.directory import NOT_READ
from pilotage.controller.effects import Effects, Force, Look, place_of, takes_back
from pilotage.controller.evidence import Gatherer
from pilotage.controller.neighbours import Neighbours
from pilotage.controller.record import Recorder
from pilotage.controller.resting import Rest, Resting, resync_after
from pilotage.controller.rollouts import FINALIZER, Rollouts
from pilotage.controller.schedule import Key, Urgency, fields_of
from pilotage.controller.store import RolloutStore
from pilotage.controller.telemetry import FAILURES
from pilotage.controller.tenants.reserving_gate import TenantGate
from pilotage.controller.workqueue import WorkQueue
from pilotage.delivery.target import DeliveryConflictError, DeliveryError, DeliveryRefusedError
from pilotage.kube import KubeError
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import PilotRolloutStatus
from pilotage.rollout.cadence import on_grid, phase_of
from pilotage.rollout.decide import Decision, decide, exposure_of
from pilotage.rollout.exposure import Exposure
from pilotage.rollout.force import is_delivered
from pilotage.rollout.people import HumanDecision
from pilotage.rollout.plan import Plan, read_plan
from pilotage.rollout.situation import Seen

_LOG = logging.getLogger(__name__)

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
    decisions: Callable[[Key], tuple[HumanDecision, ...]] = lambda _rollout: ()
    tenants: TenantGate | None = None
    neighbours: Neighbours = field(default_factory=Neighbours)
    capacities: Capacities | None = None


class Reconciler:
    """Runs for one rollout at a time; many at once for different ones."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._resting = Resting()

    def leave(self, key: Key) -> None:
        """Look at a rollout with the next resync of its namespace."""
        self._resting.leave(key)
        self._ask_for_resync(key.namespace)

    async def run(self, key: Key) -> None:
        """See, decide, write, act; ask for the next run. For a namespace: a look at what rests there.

        Raises:
            NotLeadingError: this replica does not lead (any more).
        """
        if not key.name:
            await self._resync(key.namespace)
            return
        rollout = self._tools.store.get(key)
        if rollout is None or (rollout.metadata.deletion_timestamp and FINALIZER not in rollout.metadata.finalizers):
            self.forget(key)
            return
        try:
            await self._run(key, rollout)
        except KubeError as error:
            await self._recover(key, error)
        finally:
            if self._tools.tenants:
                self._tools.tenants.finished(key)

    def forget(self, key: Key) -> None:
        """The rollout is gone: so is all that was remembered of it."""
        self._resting.drop(key)
        if self._tools.tenants:
            self._tools.tenants.forget(key)
        if self._tools.capacities:
            self._tools.capacities.forget(key)
        self._tools.queue.forget(key)
        self._tools.effects.forget(key)
        self._tools.gatherer.forget(key)
        self._tools.recorder.forget(key)

    async def _resync(self, namespace: str) -> None:
        """Ask for a run of what rests and has changed, or was not seen at rest yet; the rest costs a comparison."""
        seen = self._resting.of(namespace)
        served = await self._tools.effects.serves([(rest.place, rest.flag) for rest in seen.values()])
        digests = {key: digest for key, digest in zip(seen, served, strict=True) if digest}
        for key in self._resting.unlike(namespace, digests, self._tools.store):
            self._tools.queue.add(key, Urgency.RESYNC)
        if namespace in self._resting:
            self._ask_for_resync(namespace)

    async def _run(self, key: Key, rollout: PilotRollout) -> None:
        plan = read_plan(rollout, self._tools.templates)
        seen, look = await self._see(rollout, plan)
        tenant = self._tools.tenants.see(rollout) if self._tools.tenants else None
        capacity = self._tools.capacities.seen(key) if self._tools.capacities else None
        seen = replace(seen, decisions=self._tools.decisions(key), tenant=tenant, capacity=capacity)
        decision = self._decide(plan, rollout, seen)
        if NOT_READ in decision.status.message:
            seen = await self._tools.gatherer.read_directory(rollout, seen)
            decision = self._decide(plan, rollout, seen)
        if decision.claim is not None and self._tools.tenants:
            seen = replace(seen, tenant=await self._tools.tenants.reserve(rollout, decision.claim))
            decision = self._decide(plan, rollout, seen)
        decision, found = await self._act_first(plan, rollout, seen, decision, look)
        if await self._carry_out(rollout, decision, found):
            self._tools.queue.succeeded(key)
        self._note_rest(key, rollout, decision, found)
        self._ask_for_next(key, decision, plan)

    def _decide(self, plan: Plan, rollout: PilotRollout, seen: Seen) -> Decision:
        """Decide by what the other rollouts do at this moment: nothing is awaited in between."""
        seen = replace(seen, several=self._tools.neighbours.seen_by(rollout))
        decision = decide(plan, rollout, seen, self._tools.clock.now())
        self._tools.neighbours.decided(Key.of(rollout), decision.status)
        return decision

    def _note_rest(self, key: Key, rollout: PilotRollout, decision: Decision, look: Look | None) -> None:
        """Remember what was served where nothing is left to do: this run has changed nothing either."""
        want = exposure_of(rollout, decision.status)
        in_force = look is not None and look.force is Force.IN_FORCE and not look.outdated
        if decision.wake_at is not None:
            self._resting.drop(key)
        elif look and want and in_force and decision.status == rollout.status:
            version = int(rollout.metadata.resource_version)
            self._resting.put(key, Rest(version, place_of(rollout), want.flag, look.served))
        else:
            self._resting.put(key, None)

    async def _see(self, rollout: PilotRollout, plan: Plan) -> tuple[Seen, Look]:
        """Evidence and delivery at the same time: neither waits for the other."""
        want = exposure_of(rollout, rollout.status)
        if want is None:
            return await self._tools.gatherer.judge(rollout, plan), Look(Force.UNKNOWN)
        seen, look = await asyncio.gather(
            self._tools.gatherer.judge(rollout, plan), self._tools.effects.look(rollout, want)
        )
        delivered = self._tools.effects.delivered(Key.of(rollout), want, look)
        if _at_rest(rollout.status) and look.force is Force.UNKNOWN:
            delivered = replace(delivered, message="")  # an outage is no reason to write into all that rest
        return replace(seen, delivered=delivered), look

    async def _act_first(
        self, plan: Plan, rollout: PilotRollout, seen: Seen, decision: Decision, look: Look
    ) -> tuple[Decision, Look | None]:
        """Bring about what goes before its record: that everybody is taken back. Then both are written at once.

        The look is None where that was tried in vain.
        """
        key, want = Key.of(rollout), exposure_of(rollout, decision.status)
        if want is None or want == exposure_of(rollout, rollout.status):
            return decision, look
        if takes_back(decision.status, want) and not decision.released and not _renews(rollout, want):
            self._tools.effects.taking_back(key)
        if not _takes_all_back(rollout, decision, want):
            return decision, Look(Force.NOT_IN_FORCE)
        decided = rollout.model_copy(update={"status": decision.status})
        look = await self._try_to_deliver(decided, want)
        if look.force is not Force.IN_FORCE:
            return decision, None
        seen = replace(seen, delivered=self._tools.effects.delivered(key, want, look))
        return self._decide(plan, decided, seen), look

    async def _carry_out(self, rollout: PilotRollout, decision: Decision, look: Look | None) -> bool:
        """Write the decision and bring it about; tells whether there is nothing to try again."""
        want = exposure_of(rollout, decision.status)
        in_force = look is not None and look.force is Force.IN_FORCE
        written = await self._write(rollout, decision.status, None if in_force else want)
        if decision.released:
            return await self._release(written, want)
        if look is None:
            return self._try_again(Key.of(rollout), way_back=True)
        if want is None or (look.force is Force.UNKNOWN and _at_rest(decision.status)):
            return True
        if self._tools.effects.needs_writing(Key.of(rollout), want, look):
            return await self._bring_about(written, want)
        if want.kind != "off":
            await self._tools.rollouts.hold(written)  # somebody may have taken our finalizer away
        return True

    async def _write(self, rollout: PilotRollout, status: PilotRolloutStatus, want: Exposure | None) -> PilotRollout:
        """Write the decision. If that fails, taking users back does not wait for it: the next run decides the same.

        Args:
            rollout: as it was read.
            status: the decision.
            want: what it has to bring about; None if nothing, or nothing any more.
        """
        urgent = want is not None and takes_back(status, want)
        try:
            written = await self._tools.rollouts.write_status(rollout, status, urgent=urgent)
        except KubeError as error:
            if error.reason not in ("Conflict", "NotFound") and want is not None and urgent:
                await self._bring_about(rollout.model_copy(update={"status": status}), want)
            raise
        self._tools.recorder.tell(written)
        if self._tools.tenants:
            self._tools.tenants.written(written)
        if self._tools.capacities:
            self._tools.capacities.tend(written)
        return written

    async def _bring_about(self, rollout: PilotRollout, want: Exposure) -> bool:
        key, way_back = Key.of(rollout), takes_back(rollout.status, want)
        again = self._tools.effects.was_written(key, want)
        try:
            look = await self._tools.effects.bring_about(rollout, want)
        except DeliveryError as error:
            _say_failed(key, error)
            return self._try_again(key, way_back=way_back and not isinstance(error, DeliveryConflictError))
        if look.force is Force.IN_FORCE and not again:
            # A step's clock starts with the next run. That users are back is only written down by it: others, who still
            # have a fault, come first.
            self._tools.queue.add(key, Urgency.TIMER if way_back else Urgency.FOLLOW_UP)
            return True
        undone = "written again: something else had undone it"
        pending = f"written, but not in force yet: {look.message}"
        _LOG.info("%s", undone if look.force is Force.IN_FORCE else pending, extra=fields_of(key))
        return self._try_again(key, way_back=way_back)

    async def _try_to_deliver(self, rollout: PilotRollout, want: Exposure) -> Look:
        try:
            return await self._tools.effects.bring_about(rollout, want)
        except DeliveryError as error:
            _say_failed(Key.of(rollout), error)
            return Look(Force.NOT_IN_FORCE, str(error))

    async def _release(self, rollout: PilotRollout, final: Exposure | None) -> bool:
        key = Key.of(rollout)
        await self._tools.recorder.settle()  # once it is gone, status can't say any more what was decided
        try:
            await self._tools.effects.release(rollout, final)
        except DeliveryError as error:
            _LOG.warning("the final state can't be left: %s", error, extra=fields_of(key))
            FAILURES.labels("delivery").inc()
            way_back = final is not None and final.kind == "off" and not isinstance(error, DeliveryRefusedError)
            return self._try_again(key, way_back=way_back)
        if self._tools.tenants and (final is None or final.kind == "off"):
            await self._tools.tenants.left(rollout)
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
        seconds = plan.interval_seconds
        if decision.wake_at is None:
            self._ask_for_resync(key.namespace)
            return
        now = self._tools.clock.now().timestamp()
        wake_at = on_grid(decision.wake_at.timestamp(), now, seconds, phase_of(key.namespace, plan))
        # A clock that was stepped back since the decision is no reason to sleep until it is there again.
        self._tools.queue.add(key, Urgency.TIMER, after_seconds=min(wake_at - now, seconds))

    def _ask_for_resync(self, namespace: str) -> None:
        after_seconds = resync_after(namespace, self._tools.clock.monotonic())
        self._tools.queue.add(Key(namespace, ""), Urgency.RESYNC, after_seconds=after_seconds)


def _say_failed(key: Key, error: DeliveryError) -> None:
    _LOG.warning("not delivered: %s", error, extra={**fields_of(key), "reason": type(error).__name__})
    FAILURES.labels("delivery").inc()


def _takes_all_back(rollout: PilotRollout, decision: Decision, want: Exposure) -> bool:
    """Whether it is a rollback to nobody, of which the flag tells enough to decide it again.

    Who had the feature must have been seen in force: else a successor could not tell our "off" from an older one.
    """
    before = rollout.status.delivery
    seen = before is not None and before.verified_revision == before.revision
    return seen and want.kind == "off" and decision.status.phase == "RollingBack" and not decision.released


def _renews(rollout: PilotRollout, want: Exposure) -> bool:
    """Whether it is the decision of before with another lease."""
    before = exposure_of(rollout, rollout.status)
    return before is not None and before.revision == want.revision


def _at_rest(status: PilotRolloutStatus) -> bool:
    return is_delivered(status) and status.phase in ("Completed", "RolledBack")
