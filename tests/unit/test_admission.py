"""Admission at its edges: who may come in, by which means, and what is refused."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from pilotage.resources.rollout import Audience
from pilotage.resources.status import CohortStatus, ExposureStatus, GrantStatus
from pilotage.rollout.admission import LIST_LIMIT, Admission, Crowd, Obstacle, PlannedStep, User, admit
from pilotage.rollout.exposure import SHARE_TOTAL

STEP = PlannedStep(index=0, name="one", users=None, share=None, cohorts=(), criteria=(), hold_seconds=0.0)
COHORT = CohortStatus(seed="s:", order=("on", "off"), hash_generation="cbor", bucket_by="targetingKey")
USERS = tuple(User(f"user-{number}", {"orders": number % 2}) for number in range(LIST_LIMIT + 100))


def admitted(
    step: PlannedStep,
    *,
    users: tuple[User, ...] | None = USERS,
    population: int | None = None,
    enrolled: tuple[str, ...] = (),
    before: ExposureStatus | None = None,
    **audience: Any,
) -> Admission:
    found = _admit(step, Crowd(users, population), enrolled, before, audience)
    assert isinstance(found, Admission)
    return found


def _admit(
    step: PlannedStep,
    crowd: Crowd,
    enrolled: tuple[str, ...],
    before: ExposureStatus | None,
    audience: dict[str, Any],
) -> Admission | Obstacle:
    cohort = COHORT.model_copy(update={"enrolled": enrolled})
    return admit(step, Audience.model_validate(audience), cohort, crowd, before)


def test_users_are_listed_up_to_the_limit_and_shared_above_it() -> None:
    at_limit = admitted(replace(STEP, users=LIST_LIMIT))
    assert (at_limit.exposure.kind, len(at_limit.enrolled)) == ("users", LIST_LIMIT)
    above = admitted(replace(STEP, users=LIST_LIMIT + 1))
    assert (above.exposure.kind, above.exposure.users, above.enrolled) == ("percent", LIST_LIMIT + 1, ())


def test_who_is_excluded_is_neither_enrolled_nor_counted() -> None:
    half = [user.key for user in USERS[: len(USERS) // 2]]
    listed = admitted(replace(STEP, users=500), exclude=half)
    assert not set(listed.enrolled) & set(half)
    everybody_else = _admit(replace(STEP, users=600), Crowd(USERS, None), (), None, {"exclude": half})
    assert isinstance(everybody_else, Obstacle)
    assert everybody_else.reason == "NotEnoughUsers"


def test_fewer_users_than_are_in_are_refused() -> None:
    before = ExposureStatus(kind="users", step="zero", enrolled=20, users=20)
    enrolled = tuple(user.key for user in USERS[:20])
    refused = _admit(replace(STEP, users=19), Crowd(USERS, None), enrolled, before, {})
    assert isinstance(refused, Obstacle)
    assert refused.reason == "StepShrinks"
    assert admitted(replace(STEP, users=20), enrolled=enrolled, before=before).enrolled == enrolled


def test_after_a_share_users_are_counted_by_share_again_so_that_nobody_drops_out() -> None:
    before = ExposureStatus(kind="percent", step="zero", share=SHARE_TOTAL // 100, users=8)
    assert admitted(replace(STEP, users=50), before=before).exposure.kind == "percent"


def test_all_of_a_cohort_means_also_those_whom_the_directory_does_not_know() -> None:
    step = replace(STEP, share=Fraction(1), cohorts=("buyers",), criteria=("orders == 1",))
    assert admitted(step).exposure.share == SHARE_TOTAL


@pytest.mark.parametrize(
    ("granted", "share", "criteria", "keeps"),
    [
        (20, 50, (), False),
        (20, 20, (), False),
        (20, 50, ("a", "b"), False),
        (20, 50, ("a",), False),
        (20, 50, ("b",), True),
        (75, 50, (), True),
        (75, 50, ("a", "b"), True),
    ],
)
def test_what_a_cohort_was_granted_is_kept_unless_the_step_covers_it(
    granted: int, share: int, criteria: tuple[str, ...], keeps: bool
) -> None:
    part = SHARE_TOTAL // 100
    earlier = (GrantStatus(share=granted * part, criteria=("a",)),)
    before = ExposureStatus(kind="percent", step="zero", share=part, kept=earlier, criteria=("c",))
    step = replace(STEP, share=Fraction(share, 100), cohorts=criteria, criteria=criteria)
    found = admitted(step, users=None, before=before)
    assert (earlier[0] in found.exposure.kept) == keeps


def test_a_step_for_some_does_not_cover_what_was_granted_to_more() -> None:
    for criteria, keeps in ((("a", "b"), True), (("a",), False), ((), True)):
        before = ExposureStatus(kind="percent", step="zero", share=1, criteria=criteria)
        step = replace(STEP, share=Fraction(1, 2), cohorts=("a",), criteria=("a",))
        assert bool(admitted(step, users=None, before=before).exposure.kept) == keeps


def test_by_population_the_enrolled_are_left_out_of_the_share() -> None:
    enrolled = tuple(user.key for user in USERS[:40])
    found = admitted(replace(STEP, users=100), users=None, population=1000, enrolled=enrolled)
    assert (found.exposure.share, found.exposure.users) == (SHARE_TOTAL * 60 // 1000, 100)
