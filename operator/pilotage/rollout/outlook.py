"""Outlook: foresight as status keeps it. It is renewed with the findings, and never at each judgement."""

from pilotage.judging.objective import SequentialRule
from pilotage.resources.status import OutlookStatus, PilotRolloutStatus
from pilotage.rollout.arms import parts_of_percent
from pilotage.rollout.exposure import SHARE_TOTAL
from pilotage.rollout.force import Truth
from pilotage.rollout.foresight import Known, foresee
from pilotage.rollout.situation import Situation
from pilotage.rollout.staging import profiles_of

_LONGEST = 1024


def with_outlook(status: PilotRolloutStatus, at: Situation) -> PilotRolloutStatus:
    """The new status with what its step and the later ones can prove.

    Traffic changes all the time: it is taken again when findings are, when the spec was edited, and when it comes to
    be known.
    """
    if status.phase == "Completed" or not any(isinstance(rule, SequentialRule) for rule in at.plan.rules):
        return status.model_copy(update={"outlook": ()}) if status.outlook else status
    old, traffic = at.status, at.seen.traffic
    if not at.seen.findings:
        return status
    was_known = any(one.traffic for one in old.outlook)
    edited = status.observed_generation != old.observed_generation
    renewed = status.judged_time != old.judged_time and (traffic or not was_known)
    if old.outlook and not edited and not renewed and (was_known or not traffic):
        return status
    first = status.step.index if status.step else 0
    shown, equal = old.exposure, at.spec.audience.control == "equal"
    known = Known(
        traffic,
        profiles_of(status),
        at.crowd.population or status.population,
        covered=(shown.share + shown.control) / SHARE_TOTAL if shown and shown.share and equal else 1.0,
        held_back=parts_of_percent(at.spec.audience.holdback) / SHARE_TOTAL if at.spec.audience.holdback else 0.0,
        equal=equal,
    )
    found = foresee(at.plan.steps, at.plan.rules, known)
    here = {step.name for step in at.plan.steps[first:]}
    return status.model_copy(update={"outlook": tuple(one for one in found if one.step in here)})


def provable_condition(outlook: tuple[OutlookStatus, ...]) -> tuple[Truth, str, str] | None:
    """Whether all steps are long enough, with reason and message; None where nothing is foreseen."""
    if not outlook:
        return None
    short = [one for one in outlook if one.proves == "TooLittle"]
    if short:
        return "False", "StepTooShort", _first(short)
    unknown = [one for one in outlook if one.proves == "Unknown"]
    if unknown:
        return "Unknown", "TrafficUnknown", _first(unknown)
    return "True", "LongEnough", ""


def _first(told: list[OutlookStatus]) -> str:
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    message = told[0].message
    return f"{message if message.startswith('spec.') else f'step {told[0].step}: {message}'}{more}"[:_LONGEST]
