"""Measures tenants' usage: one call to the source of evidence for all resources of a tenant, unknown where it must be.

The source shares requests between all who ask the same, and joins small ones; a template that is grouped by a label
answers for all tenants at once. Trends are histories: each is asked for every ten minutes at most.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pilotage.judging.evidence import Answered, Measurement, Question, Series
from pilotage.metrics.following import Asks
from pilotage.resources.durations import parse_duration
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_usage import QuotaResource
from pilotage.tenancy.forecast import TREND_SECONDS
from pilotage.tenancy.observing import counts_of
from pilotage.tenancy.usage import (
    Reading,
    Tenant,
    Unknown,
    UsageError,
    max_age_seconds,
    measurement_of,
    question_of,
    read,
    series_of,
    trend_question,
)


@dataclass(frozen=True, slots=True)
class Usages:
    """What was measured of a tenant, by resource."""

    readings: Mapping[str, Reading] = field(default_factory=dict)
    trends: Mapping[str, Series] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Trend:
    """A history, of which query, and when it was asked for."""

    measurement: Measurement
    asked_at: datetime
    series: Series | None


class Meter:
    """Asks for usage.

    Args:
        source: where evidence comes from.
        templates: all IndicatorTemplates by name, as they are known.
    """

    def __init__(self, source: Asks, templates: Mapping[str, IndicatorTemplateSpec]) -> None:
        self._source = source
        self._templates = templates
        self._trends: dict[tuple[str, str], _Trend] = {}

    async def read(self, tenant: TenantQuota, now: datetime) -> Usages:
        """The usage of all of a tenant's resources."""
        about = Tenant(tenant.metadata.name, tenant.spec.namespaces)
        readings: dict[str, Reading] = {}
        questions: dict[str, Question] = {}
        histories: dict[str, Question] = {}
        for resource in tenant.spec.resources:
            try:
                measurement = measurement_of(resource.usage, about, self._templates)
            except UsageError as error:
                readings[resource.name] = Unknown(str(error))
                continue
            questions[resource.name] = question_of(measurement, max_age_seconds(resource.max_age))
            if self._wants_trend(tenant, resource, measurement, now):
                histories[resource.name] = trend_question(measurement, parse_duration(resource.trend))
        answers = await self._source.ask({*questions.values(), *histories.values()}, now)
        readings |= {name: read(answers[question]) for name, question in questions.items()}
        for name, question in histories.items():
            answer = answers[question]
            series = series_of(answer) if isinstance(answer, Answered) else None
            self._trends[tenant.metadata.name, name] = _Trend(question.measurement, now, series)
        return Usages(readings, self._known_trends(tenant))

    def forget(self, tenant: str) -> None:
        """It is gone."""
        for key in [key for key in self._trends if key[0] == tenant]:
            del self._trends[key]

    def _wants_trend(
        self, tenant: TenantQuota, resource: QuotaResource, measurement: Measurement, now: datetime
    ) -> bool:
        if counts_of(resource) == "total":
            return False
        known = self._trends.get((tenant.metadata.name, resource.name))
        if known is None or known.measurement != measurement:
            return True
        return (now - known.asked_at).total_seconds() >= TREND_SECONDS

    def _known_trends(self, tenant: TenantQuota) -> dict[str, Series]:
        names = [resource.name for resource in tenant.spec.resources if counts_of(resource) == "level"]
        found = ((name, self._trends.get((tenant.metadata.name, name))) for name in names)
        return {name: trend.series for name, trend in found if trend is not None and trend.series is not None}
