"""Staging: where judging stands by the status, and the noise that status keeps for a step."""

from datetime import timedelta
from math import inf

import pytest

from pilotage.judging.evidence import Stage
from pilotage.judging.inference.likelihood import Settings
from pilotage.judging.inference.noise import NoiseProfile, fallback
from pilotage.resources.status import ExposureStatus, NoiseStatus, PilotRolloutStatus, StepStatus
from pilotage.rollout.staging import profiles_of, stage_of, with_profiles
from tests.builders import make_rollout
from tests.pilot import NOW, Pilot, guarded

CALM = NoiseProfile(0.0012, (13.25, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0), 72, learned=True, note="calm over 72 h")
ASSUMED = fallback(Settings(0.01))


def status(step: str | None = "few", **fields: object) -> PilotRolloutStatus:
    in_step = StepStatus(index=0, name=step, entered_time=NOW) if step else None
    return PilotRolloutStatus(step=in_step).model_copy(update=fields)


def test_before_the_first_step_there_is_nothing_to_follow() -> None:
    assert stage_of(PilotRolloutStatus()) == Stage()


def test_a_step_counts_from_when_its_users_were_in_force() -> None:
    assert stage_of(status()).since == NOW
    later = NOW + timedelta(seconds=9)
    seen = StepStatus(index=0, name="few", entered_time=NOW, verified_time=later)
    assert stage_of(PilotRolloutStatus(step=seen)).since == later


@pytest.mark.parametrize(
    ("exposure", "population", "share"),
    [
        (None, None, None),
        (ExposureStatus(kind="off"), 100, None),
        (ExposureStatus(kind="full"), None, 1.0),
        (ExposureStatus(kind="users", users=10), 200, 0.05),
        (ExposureStatus(kind="users", users=300), 200, 1.0),
        (ExposureStatus(kind="users", users=10), None, None),
        (ExposureStatus(kind="percent", share=300_000_000), None, 0.3),
        (ExposureStatus(kind="percent", share=300_000_000, cohorts=("beta",)), None, None),
        (ExposureStatus(kind="percent", share=300_000_000, cohorts=("beta",), users=20), 200, 0.1),
    ],
)
def test_the_share_of_treatment_is_told_where_it_is_known(
    exposure: ExposureStatus | None, population: int | None, share: float | None
) -> None:
    assert stage_of(status(exposure=exposure, population=population)).share == share


@pytest.mark.parametrize("profile", [CALM, ASSUMED])
def test_what_was_learned_comes_back_from_status_as_it_was(profile: NoiseProfile) -> None:
    kept = with_profiles(status(), {"errors < 1% for 90s": profile})
    read = PilotRolloutStatus.model_validate(kept.to_wire())
    assert profiles_of(read) == {"errors < 1% for 90s": profile}
    assert (profile.thresholds[0] == inf) is not profile.learned


def test_another_step_forgets_the_noise_and_the_same_status_is_not_written_again() -> None:
    kept = with_profiles(status(), {"a": CALM, "b": CALM})
    assert with_profiles(kept, {}) is kept
    moved = kept.model_copy(update={"step": StepStatus(index=1, name="more", entered_time=NOW)})
    assert profiles_of(moved) == {}
    assert with_profiles(moved, {}).noise == ()
    assert [noise.step for noise in with_profiles(moved, {"a": CALM}).noise] == ["more"]
    assert with_profiles(kept.model_copy(update={"step": None}), {}).noise == ()


def test_a_step_of_the_same_name_after_starting_over_is_learned_anew() -> None:
    pilot = Pilot(make_rollout().step("few", percent=10, hold="1h")).decide().decide()
    kept = with_profiles(pilot.rollout.status, {"a": CALM})
    pilot.rollout = pilot.rollout.model_copy(update={"status": kept})
    pilot.edit(feature={"flag": "search", "revision": 2})
    pilot.decide().settle().decide()
    step = pilot.rollout.status.step
    assert step is not None
    assert step.name == "few"
    assert pilot.rollout.status.noise == ()


@pytest.mark.parametrize(
    "broken",
    [
        {"thresholds": ("9.0",) * 6},
        {"thresholds": ("high",) * 7},
        {"thresholds": ("nan",) * 7},
        {"thresholds": ("1.0",) * 7},
        {"baseline": "much"},
        {"baseline": "nan"},
    ],
)
def test_noise_that_this_version_can_not_use_is_learned_anew(broken: dict[str, object]) -> None:
    [noise] = with_profiles(status(), {"a": CALM}).noise
    changed = NoiseStatus.model_validate({**noise.to_wire(), **broken})
    assert profiles_of(status(noise=(changed,))) == {}


def test_status_stays_small_with_as_many_objectives_as_there_may_be() -> None:
    rules = {f"{'x' * 60}-{number} < 1% for 90s": CALM for number in range(32)}
    kept = with_profiles(status(), rules)
    assert len(kept.noise) == 32
    assert len(kept.model_dump_json(by_alias=True)) < 12_000
    again = with_profiles(kept, {"new": CALM})
    assert len(again.noise) == 32
    assert "new" in profiles_of(again)


def test_evidence_is_kept_while_users_grow_and_begins_anew_when_they_are_taken_back() -> None:
    pilot = Pilot(guarded().with_spec(onRollback={"to": "previous"}))
    pilot.settle()
    assert stage_of(pilot.rollout.status).counted_since is None
    first = stage_of(pilot.rollout.status).since
    pilot.settle(after=61)
    grown = stage_of(pilot.rollout.status)
    assert (grown.name, grown.counted_since) == ("some", first)
    assert grown.since is not None
    assert first is not None
    assert grown.since > first
    pilot.settle(after=5, rollback="breach")
    back = stage_of(pilot.rollout.status)
    assert (back.name, back.counted_since) == ("few", None)
    assert back.since is not None
    assert back.since > grown.since
