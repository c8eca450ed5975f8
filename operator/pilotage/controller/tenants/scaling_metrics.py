"""The metrics of scaling policies: one call to the source for all of a tenant, and the windows that the rule rests on.

Windows are kept in memory: after a restart they begin anew, and nothing is removed before they are full.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pilotage.metrics.following import Asks
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_scaling import ScalingPolicy
from pilotage.resources.tenant_usage import Usage
from pilotage.tenancy.scaling import LOST_SECONDS, Load
from pilotage.tenancy.usage import (
    Reading,
    Tenant,
    Unknown,
    UsageError,
    measurement_of,
    question_of,
    read,
)

_AGE_SECONDS = 120.0
"""How old a sample may be; half of it is Prometheus' lookback, which a scrape interval of a minute fits into."""

WINDOW = "1m"
"""What `$window` stands for: long enough for scrapes of 15 s, short enough to see a spike."""


class ScalingMetrics:
    """Asks for metrics, and remembers loads.

    Args:
        source: where evidence comes from.
        templates: all IndicatorTemplates by name, as they are known.
    """

    def __init__(self, source: Asks, templates: Mapping[str, IndicatorTemplateSpec]) -> None:
        self._source = source
        self._templates = templates
        self._loads: dict[tuple[str, str], tuple[Load, ...]] = {}

    async def read(self, tenant: TenantQuota, now: datetime) -> dict[str, Reading]:
        """The metric of each policy with the engine `scale`, by the policy's name."""
        readings: dict[str, Reading] = {}
        questions = {}
        for policy in tenant.spec.scaling:
            if policy.engine != "scale":
                continue
            try:
                questions[policy.name] = question_of(
                    measurement_of(_usage(policy), _about(tenant), self._templates), _AGE_SECONDS
                )
            except UsageError as error:
                readings[policy.name] = Unknown(str(error))
        if questions:
            answers = await self._source.ask({*questions.values()}, now)
            readings |= {name: read(answers[question]) for name, question in questions.items()}
        return readings

    def query(self, tenant: TenantQuota, policy: ScalingPolicy) -> str:
        """The PromQL of a policy with all names put in; empty if it has none.

        Raises:
            UsageError: the template is missing, has no single value, or a name is left open.
        """
        if policy.metric.resource is not None:
            return ""
        measurement = measurement_of(_usage(policy), _about(tenant), self._templates)
        return measurement.query.replace("$group", measurement.group.value) if measurement.group else measurement.query

    def loads(self, tenant: str, policy: ScalingPolicy, load: Load | None, *, keep_seconds: float) -> Sequence[Load]:
        """The window of a policy, with a new reading if there is one."""
        key = (tenant, policy.name)
        known = self._loads.get(key, ())
        if load is not None and (not known or load.at > known[-1].at):
            oldest = load.at - timedelta(seconds=keep_seconds + LOST_SECONDS)
            known = (*(each for each in known if each.at >= oldest), load)
            self._loads[key] = known
        return known

    def forget(self, tenant: str, *, but: Sequence[str] = ()) -> None:
        """A tenant is gone, or all of its policies but these."""
        for key in [key for key in self._loads if key[0] == tenant and key[1] not in but]:
            del self._loads[key]


def _usage(policy: ScalingPolicy) -> Usage:
    return Usage(template_ref=policy.metric.template_ref, query=policy.metric.query, window=WINDOW)


def _about(tenant: TenantQuota) -> Tenant:
    return Tenant(tenant.metadata.name, tenant.spec.namespaces)
