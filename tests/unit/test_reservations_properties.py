"""No order of requests, crashes, clock steps, edits and measurements lets more users in than there is room for.

The machine knows the truth: what each rollout's users really use at most. The operator knows only what it has written
(the ledger, and which step each rollout has taken) and what is measured, which shows a step's users late.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pilotage.tenancy.reserving import UNTAKEN_SECONDS, Claim, Holder, Ledger, Room, claim_id

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
RESOURCES = ("qps", "storage")
ROLLOUTS = tuple(f"r{number}" for number in range(5))
SETTLE_SECONDS = 600.0
NONE = Decimal(0)

needs = st.fixed_dictionaries({name: st.integers(0, 60).map(Decimal) for name in RESOURCES})
rollouts = st.sampled_from(ROLLOUTS)


@dataclass
class Taken:
    """A step that was taken: what its users use, since when they are in force, and since when that is measured."""

    amounts: dict[str, Decimal]
    elapsed: float
    in_force_elapsed: float | None = None


@dataclass
class Rollout:
    """What the API server has of one rollout, and the truth about its users."""

    uid: int = 0
    generation: int = 1
    step: int = 0
    taken: dict[int, Taken] = field(default_factory=dict)


class Tenant(RuleBasedStateMachine):
    """One tenant whose operator may die at any point; `elapsed` is true time, `skew` what the clock is off by."""

    @initialize()
    def begin(self) -> None:
        self.ledger = Ledger()
        self.elapsed = 0.0
        self.skew = 0.0
        self.limits = dict.fromkeys(RESOURCES, Decimal(100))
        self.rollouts = {name: Rollout() for name in ROLLOUTS}
        self.in_hand: dict[str, Claim] = {}
        self.measured: dict[str, Decimal | None] = dict.fromkeys(RESOURCES, NONE)
        self.measured_at = self.now

    @property
    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.elapsed + self.skew)

    @property
    def rooms(self) -> list[Room]:
        return [
            Room(name, self.limits[name], self.measured[name], self.measured_at, SETTLE_SECONDS) for name in RESOURCES
        ]

    def truly_used(self, resource: str) -> Decimal:
        return sum((t.amounts[resource] for r in self.rollouts.values() for t in r.taken.values()), NONE)

    @rule(name=rollouts, amounts=needs)
    def ask(self, name: str, amounts: dict[str, Decimal]) -> None:
        """A run asks for its next step's need; what is granted, it has in hand."""
        if name in self.in_hand:
            return
        rollout = self.rollouts[name]
        claim = Claim(
            id=claim_id(f"{name}-{rollout.uid}", str(rollout.step), rollout.generation),
            holder=f"shop/{name}",
            step=str(rollout.step),
            amounts={resource: amount for resource, amount in amounts.items() if amount},
        )
        outcome = self.ledger.reserve(claim, self.rooms, self.now)
        if not outcome.granted:
            assert outcome.ledger is self.ledger
            return
        self.ledger = outcome.ledger
        self.in_hand[name] = claim
        again = self.ledger.reserve(claim, self.rooms, self.now)
        assert again.granted
        assert again.ledger is self.ledger
        for resource in RESOURCES:
            waiting = sum((c.amounts.get(resource, NONE) for c in self.in_hand.values()), NONE)
            assert self.truly_used(resource) + waiting <= self.limits[resource]
            measured = self.measured[resource]
            assert measured is not None
            assert measured + self.ledger.reserved(resource) <= self.limits[resource]

    @rule(name=rollouts)
    def take(self, name: str) -> None:
        """The step is written: its users come."""
        claim = self.in_hand.pop(name, None)
        if claim is None:
            return
        rollout = self.rollouts[name]
        assert not claim.amounts or self.ledger.find(claim.id), "what is in hand is in the ledger"
        rollout.taken[rollout.step] = Taken({r: claim.amounts.get(r, NONE) for r in RESOURCES}, self.elapsed)
        rollout.step += 1

    @rule()
    def die(self) -> None:
        """The operator dies: what it had in hand is lost, what it has written is not."""
        self.in_hand.clear()

    @rule(name=rollouts)
    def come_into_force(self, name: str) -> None:
        for taken in self.rollouts[name].taken.values():
            if taken.in_force_elapsed is None:
                taken.in_force_elapsed = self.elapsed

    @rule(name=rollouts)
    def edit(self, name: str) -> None:
        if name not in self.in_hand:
            self.rollouts[name].generation += 1

    @rule(name=rollouts)
    def roll_back(self, name: str) -> None:
        """Users are seen to be back."""
        if name not in self.in_hand:
            rollout = self.rollouts[name]
            rollout.taken.clear()
            rollout.step = 0

    @rule(name=rollouts)
    def delete(self, name: str) -> None:
        if name not in self.in_hand:
            self.rollouts[name] = Rollout(uid=self.rollouts[name].uid + 1)

    @rule(share=st.sampled_from([NONE, Decimal("0.5"), Decimal(1)]))
    def measure(self, share: Decimal) -> None:
        """Usage is measured: users who are in force for long enough show in full, others in part or not at all."""
        self.measured_at = self.now
        for resource in RESOURCES:
            seen = NONE
            for taken in (t for r in self.rollouts.values() for t in r.taken.values()):
                settled = taken.in_force_elapsed is not None and (
                    self.elapsed - taken.in_force_elapsed >= SETTLE_SECONDS
                )
                seen += taken.amounts[resource] * (1 if settled else share)
            self.measured[resource] = seen

    @rule(resource=st.sampled_from(RESOURCES))
    def lose_sight(self, resource: str) -> None:
        self.measured[resource] = None

    @rule()
    def tend(self) -> None:
        """The operator looks what has ended; what it has in hand itself it leaves alone."""
        in_hand = {claim.id for claim in self.in_hand.values()}
        holders = {
            each.claim.id: self.holder_of(each.claim)
            for each in self.ledger.reservations
            if each.claim.id not in in_hand
        }
        self.ledger = self.ledger.tend(holders, self.rooms, self.now)

    def holder_of(self, claim: Claim) -> Holder:
        name = claim.holder.removeprefix("shop/")
        rollout = self.rollouts[name]
        if claim.uid != f"{name}-{rollout.uid}":
            return Holder("gone")
        taken = rollout.taken.get(int(claim.step))
        if taken is None:
            return Holder("waiting")
        since = taken.in_force_elapsed
        return Holder("taken", None if since is None else BEGIN + timedelta(seconds=since + self.skew))

    @rule(resource=st.sampled_from(RESOURCES), limit=st.integers(0, 150).map(Decimal))
    def limit_changes(self, resource: str, limit: Decimal) -> None:
        """A quota is edited, or a grant begins or expires."""
        self.limits[resource] = limit

    @rule(seconds=st.sampled_from([1.0, 60.0, UNTAKEN_SECONDS, 2 * SETTLE_SECONDS]))
    def time_passes(self, seconds: float) -> None:
        self.elapsed += seconds

    @precondition(lambda self: not any(r.taken for r in self.rollouts.values()))
    @rule(seconds=st.sampled_from([-3600.0, -60.0, 60.0, 3600.0, 10.0**7]))
    def clock_steps(self, seconds: float) -> None:
        """Promises wait by this clock; when usage must show is told by the measurements' own, which does not step."""
        self.skew += seconds

    @rule()
    def all_is_quiet(self) -> None:
        """Nothing leaks: when nobody is in and all promises had their time, the ledger is empty."""
        for name in ROLLOUTS:
            self.rollouts[name] = Rollout(uid=self.rollouts[name].uid, generation=self.rollouts[name].generation)
        self.in_hand.clear()
        self.tend()
        self.elapsed += UNTAKEN_SECONDS
        self.tend()
        assert self.ledger == Ledger()

    @invariant()
    def one_promise_for_one_id(self) -> None:
        if not hasattr(self, "ledger"):
            return
        ids = [each.claim.id for each in self.ledger.reservations]
        assert len(ids) == len(set(ids))
        assert all(amount > 0 for each in self.ledger.reservations for amount in each.claim.amounts.values())


TestTenant = Tenant.TestCase
TestTenant.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
