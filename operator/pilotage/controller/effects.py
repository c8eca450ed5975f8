"""Brings decided exposures about and looks whether they are in force; remembers only what saves calls.

What was tried for a rollout is kept in memory: it can be lost at any time, because every call is idempotent and the
decision is in status. What is in force is asked of the flag service, which costs the API server nothing.
"""

import asyncio
import hashlib
from collections.abc import Coroutine, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from pilotage.controller.clock import Clock, is_cancelled
from pilotage.controller.rollouts import Leadership, Rollouts
from pilotage.controller.rush import Rush
from pilotage.controller.schedule import Key
from pilotage.controller.telemetry import KILL_SECONDS
from pilotage.controller.together import Together
from pilotage.delivery.probes import KEYS
from pilotage.delivery.target import DeliveryConflictError, DeliveryError, DeliveryRefusedError, Place, Target, Way
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import PilotRolloutStatus
from pilotage.rollout.exposure import Exposure
from pilotage.rollout.situation import Delivered

T = TypeVar("T")

_VERIFY_SECONDS = 2.0
_LOOKS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Pauses before each look after a write: the flag service follows within milliseconds as a rule."""

BLINK_SECONDS = 10.0
"""For so long, that the flag service can't be asked is not told of a decision that was in force."""

_LONGEST_NAME = 100
_PROBED_KEYS = 40
_PROBED_LISTED = 5


class Force(Enum):
    """What a look found."""

    IN_FORCE = "in force"
    NOT_IN_FORCE = "not in force"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Look:
    """What the flag service said about an exposure; `served`, `outdated` and `taken_back` as in `Verified`."""

    force: Force
    message: str = ""
    served: str = ""
    outdated: bool = False
    taken_back: bool = False


@dataclass(slots=True)
class _Memory:
    """What was done for one rollout; may be lost."""

    target: str = ""
    failure: str = ""
    held_back: str = ""
    written: tuple[int, int | None] | None = None
    seen: tuple[int, datetime] | None = None
    unknown_since: float | None = None
    taking_back_since: float | None = None


class Effects:
    """The hands of the reconciler.

    Args:
        target: how users are reached.
        rollouts: to hold the rollout back from vanishing while users depend on it.
        leadership: asked before each write.
        clock: what time it is.
        rush: told when users are taken back.
    """

    def __init__(self, target: Target, rollouts: Rollouts, leadership: Leadership, clock: Clock, rush: Rush) -> None:
        self._target = target
        self._rollouts = rollouts
        self._leadership = leadership
        self._clock = clock
        self._rush = rush
        self._memory: dict[Key, _Memory] = {}
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._together = Together(self._kill)

    async def look(self, rollout: PilotRollout, want: Exposure) -> Look:
        """Whether an exposure is in force; never raises."""
        try:
            async with asyncio.timeout(_VERIFY_SECONDS):
                verified = await self._target.verify(place_of(rollout), want, probe_keys(want))
        except TimeoutError:
            return Look(Force.UNKNOWN, "the flag service did not answer in time")
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            return Look(Force.UNKNOWN, "the connection to the flag service was closed")
        except DeliveryError as error:
            return Look(Force.UNKNOWN, str(error))
        force = Force.IN_FORCE if verified.in_force else Force.NOT_IN_FORCE
        return Look(
            force, verified.message, verified.served, outdated=verified.outdated, taken_back=verified.taken_back
        )

    async def serves(self, flags: Sequence[tuple[Place, str]]) -> list[str]:
        """Digests of what is served for flags, as in a look; empty ones if nobody can tell. Never raises."""
        try:
            async with asyncio.timeout(_VERIFY_SECONDS):
                return await self._target.serves(flags)
        except (TimeoutError, DeliveryError):
            pass
        except asyncio.CancelledError:
            if is_cancelled():
                raise
        return [""] * len(flags)

    def delivered(self, key: Key, want: Exposure, look: Look) -> Delivered:
        """The look as a decision reads it; a failed write explains more than the look after it."""
        memory = self._remember(key)
        if look.force is Force.IN_FORCE:
            seen_at = self._arrived(memory, want)
            return Delivered(memory.target, want.revision, held_back=memory.held_back, seen_at=seen_at)
        return Delivered(
            memory.target,
            None,
            memory.failure or ("" if self._is_blink(memory, want, look) else look.message),
            contradicted=look.force is Force.NOT_IN_FORCE,
            taken_back=look.taken_back,
            held_back=memory.held_back,
        )

    def _is_blink(self, memory: _Memory, want: Exposure, look: Look) -> bool:
        """Whether nobody can tell for a moment what was in force before: a late answer is not worth a write of status.

        It holds growth all the same, because the look says so.
        """
        if look.force is not Force.UNKNOWN or memory.seen is None or memory.seen[0] != want.revision:
            return False
        if memory.unknown_since is None:
            memory.unknown_since = self._clock.monotonic()
        return self._clock.monotonic() - memory.unknown_since < BLINK_SECONDS

    def needs_writing(self, key: Key, want: Exposure, look: Look) -> bool:
        """Whether to write: not if it is in force, and not again if it was written and nobody can tell."""
        if look.force is Force.UNKNOWN:
            return not self.was_written(key, want)
        return look.force is Force.NOT_IN_FORCE or look.outdated

    def was_written(self, key: Key, want: Exposure) -> bool:
        """Whether this decision was written before: then something undoes it, and there is no hurry to do it again."""
        return self._remember(key).written == (want.revision, want.lease_until)

    def taking_back(self, key: Key) -> None:
        """A decision to take users back was made now: the time until it is in force counts from here."""
        self._remember(key).taking_back_since = self._clock.monotonic()

    async def bring_about(self, rollout: PilotRollout, want: Exposure) -> Look:
        """Write an exposure, and look until it is in force or two seconds have passed.

        Raises:
            DeliveryError: it could not be written; the reason is remembered for status.
            KubeError: our finalizer could not be set.
            NotLeadingError: this replica does not lead.
        """
        memory = self._remember(Key.of(rollout))
        place = place_of(rollout)
        try:
            if takes_back(rollout.status, want):
                self._rush.goes_on()
                await self._check_claim(rollout, want)
                memory.target = await self._together.take_back(Way(place, want))
            else:
                rollout = await self._rollouts.hold(rollout)
                async with self._turn_at(place):
                    memory.target = await self._in_time(self._target.apply(place, want))
        except DeliveryError as error:
            memory.failure = str(error)
            raise
        memory.written, memory.failure = (want.revision, want.lease_until), ""
        return await self.await_force(rollout, want)

    async def await_force(self, rollout: PilotRollout, want: Exposure) -> Look:
        """Look until the exposure is in force or two seconds have passed."""
        memory = self._remember(Key.of(rollout))
        look = Look(Force.UNKNOWN, "the flag service did not answer in time")
        with suppress(TimeoutError):
            async with asyncio.timeout(_VERIFY_SECONDS):
                for pause in _LOOKS:
                    await self._clock.sleep(pause)
                    look = await self.look(rollout, want)
                    if look.force is Force.IN_FORCE:
                        self._arrived(memory, want)
                        if not look.outdated:
                            break
        return look

    async def release(self, rollout: PilotRollout, final: Exposure | None) -> None:
        """Leave the stated final state, and let the rollout go.

        Applications are given two seconds to be seen to have it. Longer we don't wait: the flag service may be down,
        and what is written is what they will get.

        Raises:
            DeliveryError: it could not be left; the rollout stays, and the reason is remembered for status.
            KubeError: our finalizer could not be removed.
            NotLeadingError: this replica does not lead.
        """
        if final is not None:
            try:
                await self._leave(rollout, final)
            except DeliveryError as error:
                refused = isinstance(error, DeliveryRefusedError | DeliveryConflictError)
                # Where nothing was ever delivered there is nothing to take back, and nothing to wait for.
                if not refused or _was_delivered(rollout):
                    self._remember(Key.of(rollout)).held_back = str(error)
                    raise
        await self._rollouts.let_go(rollout)

    async def _leave(self, rollout: PilotRollout, final: Exposure) -> None:
        place = place_of(rollout)
        await self._check_claim(rollout, final)
        async with self._turn_at(place):
            await self._in_time(self._target.release(place, final))
        await self.await_force(rollout, final)

    async def _check_claim(self, rollout: PilotRollout, want: Exposure) -> None:
        """Only what was delivered is taken back by force: of two rollouts that claim one flag, the second never had it.

        Raises:
            DeliveryConflictError: nothing was ever delivered, and only others write the flag.
            DeliveryError: it could not be read.
        """
        memory = self._remember(Key.of(rollout))
        if memory.target or _was_delivered(rollout):
            return
        try:
            await self._target.check_claim(place_of(rollout), want.flag)
        except DeliveryConflictError:
            memory.taking_back_since = None
            raise

    def forget(self, key: Key) -> None:
        """The rollout is gone."""
        self._memory.pop(key, None)

    def forget_all(self) -> None:
        """Another replica leads: what was done here says nothing any more."""
        self._memory.clear()

    def _arrived(self, memory: _Memory, want: Exposure) -> datetime:
        """An exposure was seen in force; returns when it was for the first time."""
        if memory.seen is None or memory.seen[0] != want.revision:
            memory.seen = (want.revision, self._clock.now())
        memory.failure, memory.unknown_since = "", None
        if memory.taking_back_since is not None:
            KILL_SECONDS.observe(self._clock.monotonic() - memory.taking_back_since)
            memory.taking_back_since = None
        return memory.seen[1]

    def _remember(self, key: Key) -> _Memory:
        return self._memory.setdefault(key, _Memory())

    def _turn_at(self, place: Place) -> asyncio.Lock:
        """One write at a time for each object: of many at once, the API server lets one through and the others retry.

        (50 rollouts that share a ConfigMap took 14 s to complete at once, and 50 s to be released.) Taking users back
        does not wait for growth: it has turns of its own, see `Together`.
        """
        return self._turns.setdefault((place.namespace, place.name), asyncio.Lock())

    async def _kill(self, ways: Sequence[Way]) -> str:
        try:
            return await self._in_time(self._target.kill(ways))
        finally:
            self._rush.goes_on()

    async def _in_time(self, call: Coroutine[Any, Any, T]) -> T:
        """A write that begins under a valid lease ends before another replica can lead."""
        with closing(call):  # it may never begin
            self._leadership.require()
            try:
                async with asyncio.timeout(self._leadership.guard_seconds):
                    return await call
            except TimeoutError as error:
                raise DeliveryError("the API server did not answer in time") from error


def takes_back(status: PilotRolloutStatus, want: Exposure) -> bool:
    """Whether an exposure is a way back: it must come about whoever else writes there."""
    return want.kind == "off" or (status.delivery is not None and status.delivery.direction == "back")


def _was_delivered(rollout: PilotRollout) -> bool:
    delivery = rollout.status.delivery
    return delivery is not None and bool(delivery.target)


def place_of(rollout: PilotRollout) -> Place:
    """Where the rollout's flag lives."""
    meta = rollout.metadata
    return Place(meta.namespace, rollout.spec.delivery.flags.name, field_manager_of(meta.name))


def field_manager_of(name: str) -> str:
    """The rollout's own field manager: the same after it was deleted and made again; at most 128 characters."""
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}.{hashlib.sha256(name.encode()).hexdigest()[:10]}"
    return f"pilotage/{name}"


def probe_keys(want: Exposure) -> tuple[str, ...]:
    """Users to ask the flag service about: some who are listed, and some who are nobody."""
    first, last = want.enrolled[:_PROBED_LISTED], want.enrolled[-_PROBED_LISTED:]
    return tuple(dict.fromkeys((*first, *last, *want.deny[:_PROBED_LISTED], *KEYS[:_PROBED_KEYS])))
