"""Staging: where a rollout stands, as judging has to know it, and the noise that was learned for its step."""

from collections.abc import Mapping
from math import inf

from pilotage.judging.evidence import Stage
from pilotage.judging.inference.likelihood import ENOUGH, GRID
from pilotage.judging.inference.noise import NoiseProfile
from pilotage.resources.status import ExposureStatus, NoiseStatus, PilotRolloutStatus
from pilotage.rollout.exposure import SHARE_TOTAL

_MOST = 32


def stage_of(status: PilotRolloutStatus) -> Stage:
    """The step that the rollout is in; what was counted before its users were in force belongs to the one before."""
    step = status.step
    if step is None:
        return Stage()
    share = _share(status.exposure, status.population) if status.mode != "observe" else None
    balance = _balance(status.exposure) if status.mode != "observe" else None
    since = step.verified_time or step.entered_time
    return Stage(step.name, since, share, step.counted_time, balance, step.regained_time or since)


def _share(exposure: ExposureStatus | None, population: int | None) -> float | None:
    if exposure is None or exposure.kind == "off":
        return None
    if exposure.kind == "full":
        return 1 - exposure.held_back / SHARE_TOTAL
    if exposure.users is not None and population:
        return min(exposure.users / population, 1.0)
    return exposure.share / SHARE_TOTAL if exposure.share and not exposure.cohorts else None


def _balance(exposure: ExposureStatus | None) -> float | None:
    """Treatment's part of the two arms, where control is one of them and not all others."""
    if exposure is None or not (exposure.control or exposure.controls):
        return None
    if exposure.control_users is not None and exposure.users:
        return exposure.users / (exposure.users + exposure.control_users)
    return exposure.share / (exposure.share + exposure.control) if exposure.share else None


def profiles_of(status: PilotRolloutStatus) -> dict[str, NoiseProfile]:
    """What was learned for the step that the rollout is in, by the rules' names."""
    step = status.step.name if status.step else ""
    known = {noise.rule: _profile_of(noise) for noise in status.noise if noise.step == step}
    return {rule: profile for rule, profile in known.items() if profile is not None}


def _profile_of(noise: NoiseStatus) -> NoiseProfile | None:
    """None where another version of the judge wrote what this one can't use: it is learned anew."""
    try:
        thresholds = tuple(float(threshold) for threshold in noise.thresholds)
        baseline = float(noise.baseline)
    except ValueError:
        return None
    if len(thresholds) != len(GRID) or not 0 <= baseline <= 1 or not min(thresholds) >= ENOUGH:
        return None
    return NoiseProfile(baseline, thresholds, noise.hours, learned=thresholds[0] < inf, note=noise.note)


def with_profiles(status: PilotRolloutStatus, learned: Mapping[str, NoiseProfile]) -> PilotRolloutStatus:
    """The status with what was learned now for the step that the rollout is in, and without that of other steps."""
    step = status.step.name if status.step else None
    kept = tuple(noise for noise in status.noise if noise.rule not in learned and noise.step == step)
    made = tuple(
        NoiseStatus(
            rule=rule,
            step=step or "",
            hours=profile.hours,
            baseline=repr(profile.baseline_ratio),
            thresholds=tuple("inf" if found == inf else repr(found) for found in profile.thresholds),
            note=profile.note,
        )
        for rule, profile in learned.items()
    )
    noise = (*kept, *made)[-_MOST:] if step is not None else ()
    return status if noise == status.noise else status.model_copy(update={"noise": noise})
