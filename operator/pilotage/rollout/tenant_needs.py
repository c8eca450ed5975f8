"""Tenant, needs: what a rollout says of its need of the tenant's resources, and what of it is measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from pilotage.judging.evidence import Answer, Answered, Question
from pilotage.judging.questions import indicator_question
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import ExposureStatus
from pilotage.rollout.exposure import SHARE_TOTAL
from pilotage.tenancy.amounts import parse_amount
from pilotage.tenancy.need import Arm, Demand


@dataclass(frozen=True, slots=True)
class PlannedNeed:
    """A need of spec.needs that was read.

    Attributes:
        resource: of the TenantQuota.
        per_user: the estimate for one more user.
        question: asks what each variant uses; None if nothing measures it.
        proven: whether an IndicatorTemplate asks, so that a tenant can't measure less than it uses.
    """

    resource: str
    per_user: Decimal
    question: Question | None = None
    proven: bool = False


@dataclass(frozen=True, slots=True)
class Rates:
    """What the variants use of a resource, in its unit; None where that is not known."""

    treatment: Decimal | None = None
    control: Decimal | None = None


def read_needs(rollout: PilotRollout, templates: Mapping[str, IndicatorTemplateSpec]) -> tuple[PlannedNeed, ...]:
    """The needs of a rollout.

    Raises:
        RuleError: one names an indicator that is not there or makes no sense.
    """
    spec, meta = rollout.spec, rollout.metadata
    by_template = {each.name for each in spec.indicators if each.template_ref}
    needs = []
    for index, need in enumerate(spec.needs):
        question = None
        if need.indicator is not None:
            field = f"spec.needs[{index}].indicator"
            question = indicator_question(
                spec, templates, need.indicator, namespace=meta.namespace, name=meta.name, field=field
            )
        proven = need.indicator in by_template
        needs.append(PlannedNeed(need.resource, parse_amount(need.per_user), question, proven))
    return tuple(needs)


def rates_of(
    needs: tuple[PlannedNeed, ...], answers: Mapping[Question, Answer], variants: tuple[str, str]
) -> dict[str, Rates]:
    """By resource, what is measured of treatment and control: the newest value of each."""
    treatment, control = variants
    asked = {need.resource: answers.get(need.question) for need in needs if need.question}
    return {
        resource: Rates(_newest(answer, treatment), _newest(answer, control))
        for resource, answer in asked.items()
        if isinstance(answer, Answered)
    }


def _newest(answer: Answered, variant: str) -> Decimal | None:
    """Of exactly this variant: what is not told by variant is nobody's own."""
    series = dict(answer.by_variant).get(variant)
    return Decimal(repr(series.values[-1])) if series and series.values and series.values[-1] >= 0 else None


def demand_of(
    resource: str, planned: PlannedNeed | None, rates: Rates, exposure: ExposureStatus, population: int | None
) -> Demand:
    """What is known of one resource that a rollout's step needs, before the step and the TenantQuota say more.

    Args:
        resource: of the TenantQuota.
        planned: what the rollout says of it; None if nothing.
        rates: what is measured.
        exposure: who have the feature now, and who are compared with them.
        population: how many users there are; None if that is not known.
    """
    if planned is None:
        return Demand(resource)
    return Demand(
        resource,
        per_user=planned.per_user,
        treatment=_arm(rates.treatment, exposure.users),
        control=_arm(rates.control, _control_users(exposure, population)),
        proven=planned.proven,
    )


def _control_users(exposure: ExposureStatus, population: int | None) -> int | None:
    """Who are control: those who were counted, or the share that is; all others where nobody is left out."""
    if exposure.control_users is not None:
        return exposure.control_users
    if population is None or exposure.users is None:
        return None
    return round(population * exposure.control / SHARE_TOTAL) if exposure.control else population - exposure.users


def _arm(rate: Decimal | None, users: int | None) -> Arm | None:
    return Arm(rate, users) if rate is not None and users is not None and users > 0 else None
