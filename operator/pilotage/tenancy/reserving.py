"""Reserving: the ledger of what steps have been promised of a tenant's headroom, as a value.

A step is promised its need before it is taken, so that of all who ask for the last headroom at the same time only those
get it who fit. A promise is known by its rollout, step and generation: asked for again, after a crash or by the next
leader, it is the same one. It counts until the step's usage shows in what is measured, and longer rather than shorter:
what is counted twice holds a step, what is not counted overbooks.

What ends a promise: its rollout is gone or was taken back; its step was not taken in time; usage was measured so long
after the step was in force that it must show there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import Literal

from pilotage.resources.tenant_reservations import RESERVATIONS_LIMIT
from pilotage.tenancy.amounts import EXACT
from pilotage.tenancy.forecast import Period

MOST_RESERVATIONS = RESERVATIONS_LIMIT
"""As many as fit into one object; a step that finds the ledger full waits."""

UNTAKEN_SECONDS = 600.0
"""How long a promise waits for its step to be taken. That follows at once, or never: the operator died, or the step is
not wanted any more."""

WIDENING = "/more"
"""Ends the id of a claim for more users of a step that is running."""

NONE = Decimal(0)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a step asks for.

    Attributes:
        id: of the rollout's UID, the step and the spec's generation, as `claim_id` makes it.
        holder: `namespace/name` of the rollout.
        step: that it is for.
        amounts: by resource, more than nothing each.
        users: whom the step lets in newly, for people; 0 if that is not known.
        widens: users are in by this step already, and these are more: what was promised for them stays.
    """

    id: str
    holder: str
    step: str
    amounts: Mapping[str, Decimal]
    users: int = 0
    widens: bool = False

    @property
    def uid(self) -> str:
        """Of the rollout."""
        return self.id.partition("/")[0]


def claim_id(uid: str, step: str, generation: int, *, widens: bool = False) -> str:
    """What a claim is known by: asked for again after a crash, or by the next leader, it is the same one."""
    return f"{uid}/{step}/{generation}{WIDENING if widens else ''}"


@dataclass(frozen=True, slots=True)
class Reservation:
    """A promise.

    Attributes:
        claim: that it answers.
        created_at: when it was made.
        expires_at: when it ends if its step is not taken.
        in_force_at: since when the step's users are seen to have the feature; None before that.
    """

    claim: Claim
    created_at: datetime
    expires_at: datetime
    in_force_at: datetime | None = None

    def is_for(self, claim: Claim) -> bool:
        """Whether it is the answer to this very claim, and nobody is in by it yet."""
        return self.claim.amounts == claim.amounts and self.in_force_at is None


@dataclass(frozen=True, slots=True)
class Room:
    """One resource of a tenant.

    Attributes:
        resource: its name.
        limit: hard and the active grants; for money the budget.
        used: what is used; for money the forecast for the period's end. None if that is not known.
        observed_at: when that was measured; None if never.
        settle_seconds: how long after a step is in force its usage must show.
        month: in which usage is counted, where it is forecast for the month's end by its mean rate; else None.
        budget: whether it is money.
        unit: for people, such as `USD`.
    """

    resource: str
    limit: Decimal
    used: Decimal | None
    observed_at: datetime | None = None
    settle_seconds: float = 600.0
    month: Period | None = None
    budget: bool = False
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a claim does not fit one resource.

    Attributes:
        room: the resource.
        needed: what is asked for.
        available: what is left; negative where more is taken than there is; None if usage is not known.
        holders: who else holds how much, the largest first.
    """

    room: Room
    needed: Decimal
    available: Decimal | None
    holders: tuple[tuple[str, Decimal], ...] = ()

    @property
    def missing(self) -> Decimal | None:
        """How much more would have to be free; None if usage is not known."""
        return None if self.available is None else self.needed - self.available


@dataclass(frozen=True, slots=True)
class Holder:
    """What a reservation's rollout says of its step.

    Attributes:
        state: `waiting`: not taken yet; `taken`: its users may be in; `gone`: nobody is in by it.
        in_force_at: when its users were seen to have the feature, or at the latest by then; None before that.
    """

    state: Literal["waiting", "taken", "gone"]
    in_force_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a claim.

    Attributes:
        ledger: after it; the one before if nothing has changed.
        granted: whether the step may be taken.
        shortages: why not, for each resource that does not fit.
        full: the ledger has no place for another reservation.
    """

    ledger: "Ledger"
    granted: bool
    shortages: tuple[Shortage, ...] = ()
    full: bool = False


@dataclass(frozen=True, slots=True)
class Ledger:
    """All promises of a tenant, in the order in which they were made."""

    reservations: tuple[Reservation, ...] = field(default=())

    def reserved(self, resource: str) -> Decimal:
        """What is promised of a resource."""
        with localcontext(EXACT):
            return sum((each.claim.amounts.get(resource, NONE) for each in self.reservations), NONE)

    def holders(self, room: Room) -> tuple[tuple[str, Decimal], ...]:
        """Who holds how much of a resource that is not seen in its usage yet, the largest first."""
        held: dict[str, Decimal] = {}
        with localcontext(EXACT):
            for each in self.reservations:
                if amount := each.claim.amounts.get(room.resource, NONE) * unseen_part(each, room):
                    held[each.claim.holder] = held.get(each.claim.holder, NONE) + amount
        return tuple(sorted(held.items(), key=lambda pair: (-pair[1], pair[0])))

    def find(self, claim_id: str) -> Reservation | None:
        """The promise of this id."""
        return next((each for each in self.reservations if each.claim.id == claim_id), None)

    def reserve(self, claim: Claim, rooms: Iterable[Room], now: datetime) -> Outcome:
        """Promise all that is claimed, or nothing.

        A claim that is asked for again is measured again: where the limit was lowered meanwhile, it is not granted.
        What was promised to the rollout for the same step of an earlier generation is replaced, unless users are in.
        Where nothing is granted the ledger stays as it is: what has ended is found by `tend` alone.

        Args:
            claim: of the step.
            rooms: all resources of the tenant, also those of which nothing is claimed: none may be overdrawn, and of
                each the usage must be known.
            now: the time.
        """
        others = Ledger(tuple(each for each in self.reservations if not _replaces(claim, each)))
        shortages = tuple(short for room in rooms if (short := others.shortage(claim, room)))
        if shortages:
            return Outcome(self, granted=False, shortages=shortages)
        known = self.find(claim.id)
        if known is not None and known.is_for(claim) and now < known.expires_at:
            return Outcome(self, granted=True)
        if claim.amounts and len(others.reservations) >= MOST_RESERVATIONS:
            return Outcome(self, granted=False, full=True)
        made = Reservation(claim, now, now + timedelta(seconds=UNTAKEN_SECONDS))
        return Outcome(self._with((*others.reservations, *((made,) if claim.amounts else ()))), granted=True)

    def shortage(self, claim: Claim, room: Room) -> Shortage | None:
        """Why a claim does not fit beside all promises that are there; None if it does."""
        needed = claim.amounts.get(room.resource, NONE)
        available = self.available(room)
        if available is None:
            return Shortage(room, needed, None)
        return None if needed <= available else Shortage(room, needed, available, self.holders(room))

    def available(self, room: Room) -> Decimal | None:
        """What is neither used nor promised of a resource; None if usage is not known."""
        if room.used is None:
            return None
        with localcontext(EXACT):
            return room.limit - room.used - sum((amount for _, amount in self.holders(room)), NONE)

    def release(self, claim_id: str) -> "Ledger":
        """The ledger without this promise; the same if there is none."""
        return self._with(tuple(each for each in self.reservations if each.claim.id != claim_id))

    def tend(self, holders: Mapping[str, Holder], rooms: Iterable[Room], now: datetime) -> "Ledger":
        """The ledger without what has ended; the same if nothing has.

        Args:
            holders: by the promises' ids, what their rollouts say; a promise that is not named is left alone.
            rooms: all resources of the tenant.
            now: the time.
        """
        known = {room.resource: room for room in rooms}
        tended = (
            each if each.claim.id not in holders else _tended(each, holders[each.claim.id], known, now)
            for each in self.reservations
        )
        return self._with(tuple(each for each in tended if each is not None))

    def _with(self, reservations: tuple[Reservation, ...]) -> "Ledger":
        """The ledger with these; itself where nothing is different, so that nothing is written then."""
        return self if reservations == self.reservations else Ledger(reservations)


def _replaces(claim: Claim, other: Reservation) -> bool:
    """Whether a promise is what this claim asks for, or was for the same step by another spec and was never taken."""
    if other.claim.id == claim.id:
        return True
    return not claim.widens and (other.claim.uid, other.claim.step) == (claim.uid, claim.step)


def _tended(reservation: Reservation, holder: Holder, rooms: Mapping[str, Room], now: datetime) -> Reservation | None:
    if holder.state == "gone":
        return None
    if holder.state == "waiting":
        if now >= reservation.expires_at:
            return None
        # Made while the clock was ahead, it would last too long: no promise waits longer than from now on.
        return replace(reservation, expires_at=min(reservation.expires_at, now + timedelta(seconds=UNTAKEN_SECONDS)))
    since = reservation.in_force_at or holder.in_force_at
    if since is None:
        return reservation
    since = min(since, now)
    amounts = reservation.claim.amounts
    left = {name: amount for name, amount in amounts.items() if not _shows(rooms.get(name), since)}
    return replace(reservation, claim=replace(reservation.claim, amounts=left), in_force_at=since) if left else None


def _shows(room: Room | None, since: datetime) -> bool:
    """Whether what is measured of a resource must contain the users who came then."""
    if room is None:
        return True  # the tenant has this resource no longer: nothing of it can be overbooked
    if room.observed_at is None:
        return False
    if room.month is not None:
        return since < room.month.starts_at <= room.observed_at
    return room.observed_at >= since + timedelta(seconds=room.settle_seconds)


def unseen_part(reservation: Reservation, room: Room) -> Decimal:
    """The part of a promise that is not in what is measured: all of it until it shows, in a forecast bit by bit.

    A step that costs c a day from T on costs c (E - T) until the month's end E. The forecast at t, the mean rate since
    the month's beginning B until E, contains c (t - T) (E - B) / (t - B) of that: nothing at T, all of it at E.
    """
    since, seen_at, month = reservation.in_force_at, room.observed_at, room.month
    if month is None or since is None or seen_at is None:
        return Decimal(1)
    since, seen_at = max(since, month.starts_at), min(seen_at, month.ends_at)
    if seen_at <= since:
        return Decimal(1)
    begin, end = month.starts_at, month.ends_at
    with localcontext(EXACT):
        seen = _ticks(seen_at - since) * _ticks(end - begin) / (_ticks(seen_at - begin) * _ticks(end - since))
        return max(NONE, 1 - seen)


def _ticks(span: timedelta) -> Decimal:
    return Decimal(span // timedelta(microseconds=1))
