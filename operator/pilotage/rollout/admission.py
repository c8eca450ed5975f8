"""Admission: which users a step means, as an exposure that keeps everybody who is already in.

Three sources say who exists. A directory lists users by name, then a step admits exactly its number: by name up to
`LIST_LIMIT`, above it by the bucket boundary of the last user who fits. A population is only a number, then users are
turned into a share and the count is an estimate. With neither, steps can only be percent.

Names are given to the users of lowest bucket, so that the way from a list to a share drops nobody. The holdback, the
users of highest bucket, is let in by no step; only `audience.include` can name one of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from pilotage.resources.rollout import Audience
from pilotage.resources.status import AskedStatus, CohortStatus, ExposureStatus, GrantStatus
from pilotage.rollout.arms import parts_of_percent
from pilotage.rollout.audience import matches
from pilotage.rollout.bucketing import bucket_of, hash_order, part_of, share_covering
from pilotage.rollout.comparing import with_control
from pilotage.rollout.exposure import SHARE_TOTAL

LIST_LIMIT = 1000
"""Above this many names, a list costs the evaluators more than it is worth (0.13 ms an evaluation at 500)."""


@dataclass(frozen=True, slots=True)
class User:
    """A user whom the directory knows: the bucketing key, and the attributes that cohorts ask for."""

    key: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step of the plan, with its numbers read.

    Attributes:
        index: in spec.steps, from 0.
        users: how many users in all, or None.
        share: of the cohorts' users, 0 < share <= 1; 1 for cohorts alone; None with users.
        cohorts: names; everybody if empty.
        criteria: the cohorts' criteria, in the same order.
    """

    index: int
    name: str
    users: int | None
    share: Fraction | None
    cohorts: tuple[str, ...]
    criteria: tuple[str, ...]
    hold_seconds: float


@dataclass(frozen=True, slots=True)
class Admission:
    """A step's exposure, and the complete lists of enrolled users and of control by name with it."""

    exposure: ExposureStatus
    enrolled: tuple[str, ...]
    controls: tuple[str, ...] = ()

    def into(self, cohort: CohortStatus) -> CohortStatus:
        """The cohort with these lists."""
        return cohort.model_copy(update={"enrolled": self.enrolled, "controls": self.controls or cohort.controls})


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a step can't be taken: a CamelCase reason, and a sentence with the remedy."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who exists, as far as it is known: users by name, or their number, or neither."""

    users: tuple[User, ...] | None
    population: int | None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A step about to be entered: what was frozen, who is enrolled so far, and the exposure of the step before."""

    step: PlannedStep
    cohort: CohortStatus
    enrolled: tuple[str, ...]
    before: ExposureStatus | None
    held_back: int

    @property
    def widest(self) -> int:
        """The greatest share there can be: everybody but the holdback."""
        return SHARE_TOTAL - self.held_back

    @property
    def granted(self) -> tuple[GrantStatus, ...]:
        """The shares by which users are in so far."""
        if self.before is None or not self.before.share:
            return ()
        last = GrantStatus(
            share=self.before.share,
            control=self.before.control,
            cohorts=self.before.cohorts,
            criteria=self.before.criteria,
        )
        return (*self.before.kept, last)

    def bucket_part(self, key: str) -> int:
        return part_of(bucket_of(key, seed=self.cohort.seed, generation=self.cohort.hash_generation))

    def lets_in(self, user: User, share: int) -> bool:
        """Whether a share lets the user in, or one of an earlier step did."""
        return self.bucket_part(user.key) < share or self.was_granted(user)

    def was_granted(self, user: User) -> bool:
        """Whether a share of an earlier step let the user in."""
        return any(
            self.bucket_part(user.key) < grant.share
            and matches(grant.criteria, {self.cohort.bucket_by: user.key, **user.attributes})
            for grant in self.granted
        )


def admit(
    step: PlannedStep,
    audience: Audience,
    cohort: CohortStatus,
    crowd: Crowd,
    before: ExposureStatus | None,
) -> Admission | Obstacle:
    """The step's exposure.

    Args:
        step: the step to enter.
        audience: lists of the spec.
        cohort: what was frozen at the start; its enrolled users stay in.
        crowd: who exists.
        before: the exposure of the step before, None for the first: nobody who is in by it drops out.
    """
    already = set(cohort.enrolled)
    enrolled = (*cohort.enrolled, *(key for key in audience.include if key not in already))
    held_back = parts_of_percent(audience.holdback) if audience.holdback else 0
    if before is not None:
        held_back = min(held_back, before.held_back)  # who was let in is not held back any more
    entry = _Entry(step, cohort, enrolled, before, held_back)
    eligible = _eligible(step, audience, crowd.users) if crowd.users is not None else None
    if step.share == 1 and not step.cohorts:
        admitted: Admission | Obstacle = _everybody(entry, eligible, crowd.population)
    elif eligible is not None:
        admitted = _by_name(entry, eligible)
    else:
        admitted = _by_number(entry, crowd.population)
    return _compared(entry, admitted, eligible) if isinstance(admitted, Admission) else admitted


def _compared(entry: _Entry, admitted: Admission, eligible: Sequence[User] | None) -> Admission:
    """The admission with the arm that it is compared with, where that is not all others."""
    shown, cohort = admitted.exposure.model_copy(update={"held_back": entry.held_back}), entry.cohort
    if cohort.control == "rest":
        return replace(admitted, exposure=shown)
    named = set(admitted.enrolled[: shown.enrolled])
    outside = None
    if eligible is not None:
        outside = [user.key for user in eligible if user.key not in named and not entry.lets_in(user, shown.share)]
    shown, controls = with_control(shown, cohort, entry.before, outside)
    return replace(admitted, exposure=shown, controls=controls)


def asked_by(step: PlannedStep) -> AskedStatus:
    """How many users a step asks for, in words that can be compared."""
    if step.share is None:
        return AskedStatus(users=step.users)
    return AskedStatus(percent=f"{float(step.share * 100):.10g}")


def _everybody(entry: _Entry, eligible: Sequence[User] | None, population: int | None) -> Admission:
    users = population
    if entry.held_back and eligible is not None:
        named = set(entry.enrolled)
        users = sum(user.key in named or entry.lets_in(user, entry.widest) for user in eligible)
    elif entry.held_back and population is not None:
        users = round(Fraction(population * entry.widest, SHARE_TOTAL))
    exposure = ExposureStatus(
        kind="full",
        step=entry.step.name,
        enrolled=len(entry.enrolled),
        share=entry.widest,
        users=users,
        asked=asked_by(entry.step),
    )
    return Admission(exposure, entry.enrolled)


def _eligible(step: PlannedStep, audience: Audience, users: Iterable[User]) -> list[User]:
    denied = set(audience.exclude)
    return [
        user
        for user in users
        if user.key not in denied and matches(step.criteria, {audience.bucket_by: user.key, **user.attributes})
    ]


def _by_name(entry: _Entry, eligible: list[User]) -> Admission | Obstacle:
    step, before = entry.step, entry.before
    inside = set(entry.enrolled)
    others = [user for user in eligible if user.key not in inside]
    rest = [user for user in others if entry.bucket_part(user.key) < entry.widest]
    available = len(entry.enrolled) + len(rest)
    everybody = len(entry.enrolled) + len(others)
    wanted = step.users if step.users is not None else min(int((step.share or 0) * everybody), available)
    floor = before.users if before is not None and before.users is not None else 0
    if wanted > available:
        return Obstacle(
            "NotEnoughUsers",
            f"{_field(step)}: step {step.name} wants {wanted} users, but only {available} may come in"
            f"{_beside(everybody - available)}: widen its cohorts, extend the directory or ask for fewer",
        )
    if wanted < floor:
        return _shrinks(step, f"{wanted} users", f"{floor}")
    if step.users is not None and wanted <= LIST_LIMIT and not (before and before.share):
        return _enrol(entry, rest, wanted)
    return _cover(entry, rest, wanted)


def _beside(held_back: int) -> str:
    return f" ({held_back} more are held back)" if held_back else ""


def _field(step: PlannedStep) -> str:
    field = f"spec.steps[{step.index}]"
    return f"{field}.users" if step.users is not None else field


def _shrinks(step: PlannedStep, wanted: str, now: str) -> Obstacle:
    return Obstacle(
        "StepShrinks",
        f"{_field(step)}: step {step.name} means {wanted}, fewer than the {now} who are in:"
        " raise it, or take users back by a rollback",
    )


def _enrol(entry: _Entry, rest: list[User], wanted: int) -> Admission:
    cohort = entry.cohort
    order = hash_order((user.key for user in rest), seed=cohort.seed, generation=cohort.hash_generation)
    # A retry finds the names of the first attempt, and the same people come first.
    grown = (*entry.enrolled, *order[: max(0, wanted - len(entry.enrolled))])
    exposure = ExposureStatus(
        kind="users",
        step=entry.step.name,
        enrolled=wanted,
        cohorts=entry.step.cohorts,
        users=wanted,
        asked=asked_by(entry.step),
    )
    return Admission(exposure, grown)


def _cover(entry: _Entry, rest: list[User], wanted: int) -> Admission:
    """By share: exactly as many known users as planned, by number or by percent; whom it does not cover stays in."""
    step, cohort = entry.step, entry.cohort
    stay = {user.key for user in rest if entry.was_granted(user)}
    open_to = [user.key for user in rest if user.key not in stay]
    more = max(0, wanted - len(entry.enrolled) - len(stay))
    exact = share_covering(open_to, more, seed=cohort.seed, generation=cohort.hash_generation)
    # All of a cohort means also those whom the directory does not know yet.
    share = entry.widest if step.share == 1 else exact
    inside = sum(user.key in stay or entry.bucket_part(user.key) < share for user in rest)
    return _shared(entry, share, len(entry.enrolled) + inside)


def _shared(entry: _Entry, share: int, users: int | None) -> Admission:
    exposure = ExposureStatus(
        kind="percent",
        step=entry.step.name,
        enrolled=len(entry.enrolled),
        share=share,
        cohorts=entry.step.cohorts,
        criteria=entry.step.criteria,
        kept=tuple(grant for grant in entry.granted if not _covers(entry.step, share, grant)),
        users=users,
        asked=asked_by(entry.step),
    )
    return Admission(exposure, entry.enrolled)


def _covers(step: PlannedStep, share: int, grant: GrantStatus) -> bool:
    wider = not step.criteria or (bool(grant.criteria) and set(grant.criteria) <= set(step.criteria))
    return wider and grant.share <= share


def _by_number(entry: _Entry, population: int | None) -> Admission | Obstacle:
    step = entry.step
    if step.users is None:
        portion = min(step.share or Fraction(0), Fraction(entry.widest, SHARE_TOTAL))
        users = None if population is None or step.cohorts else round(population * portion)
    elif population is None:
        return Obstacle(
            "PopulationUnknown",
            f"step {step.name} counts users, but the population is not known:"
            " give audience.directory, or audience.population with users or an indicator that has data",
        )
    else:
        portion = Fraction(max(0, step.users - len(entry.enrolled)), max(population, 1))
        users = step.users
    share, floor = int(portion * SHARE_TOTAL), entry.before.share if entry.before else 0
    if share > entry.widest:
        less = f", of which {entry.held_back / SHARE_TOTAL:.4%} are held back" if entry.held_back else ""
        return Obstacle(
            "NotEnoughUsers",
            f"{_field(step)}: step {step.name} wants {step.users} users of a population of {population}{less}:"
            " ask for fewer",
        )
    if share < floor:
        return _shrinks(step, f"{share / SHARE_TOTAL:.4%} of the users", f"{floor / SHARE_TOTAL:.4%}")
    return _shared(entry, share, users)
