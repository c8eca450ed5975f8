"""A tenant's usage of a resource as it was read: known with its time, or unknown with the reason; never a bare number.

Missing, stale, not a number, negative or doubled is unknown, never zero. What is asked is made here too: the query with
the tenant's names put in, over so long a time that no sample older than `maxAge` is taken for the present.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from pilotage.judging.evidence import Answer, Answered, Group, Measurement, NoData, Question, Series, Unavailable
from pilotage.judging.questions import step_for
from pilotage.resources.durations import parse_duration
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.tenant_usage import Usage

_LONGEST_LOOKBACK_SECONDS = 300.0
"""Prometheus' own: a gauge's sample is shown for so long."""

LARGEST = 1e30
"""What is more is no usage of anything, and would not fit into status: metrics can be forged, or broken."""

_PLACES = Decimal("0.000001")
_NAME = re.compile(r"\$([a-zA-Z_][a-zA-Z0-9_]*)")
_DEFAULT_WINDOW = "5m"
_KEPT = ("group",)
"""What the source puts in."""


@dataclass(frozen=True, slots=True)
class Known:
    """Usage, and when it was seen."""

    value: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why usage is unknown, as a fixed text; `unasked` where nobody could be asked, so that the last sample stands."""

    reason: str
    unasked: bool = False


Reading = Known | Unknown


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whom a query is made for."""

    name: str
    namespaces: tuple[str, ...]


class UsageError(ValueError):
    """A usage that can't be asked for; the message is a sentence with the remedy."""


def measurement_of(usage: Usage, tenant: Tenant, templates: Mapping[str, IndicatorTemplateSpec]) -> Measurement:
    """The query with all names put in.

    Raises:
        UsageError: the template is missing, has no single value, or a name is left open.
    """
    if usage.template_ref is None:
        query = _filled(usage.query or "", tenant, usage, _DEFAULT_WINDOW, params={})
        return Measurement(query=query)
    template = templates.get(usage.template_ref)
    if template is None:
        message = f"there is no IndicatorTemplate {usage.template_ref}: create it, or correct templateRef"
        raise UsageError(message)
    if template.query is None:
        message = f"IndicatorTemplate {usage.template_ref} has no single value: usage needs one with query"
        raise UsageError(message)
    params, group, query = dict(usage.params or {}), None, template.query
    if template.group_by is not None:
        # As with rollouts: one query answers for all; in it, the matcher of the group's value stands for everybody.
        query = query.replace(f'=~"{template.group_by.value}"', '=~"$group"')
        group = Group(template.group_by.label, _named(template.group_by.value, _names(tenant)))
    return Measurement(
        query=_filled(query, tenant, usage, template.window or _DEFAULT_WINDOW, params=params),
        variant_label=template.variant_label,
        group=group,
    )


def question_of(measurement: Measurement, max_age_seconds: float) -> Question:
    """Asks for the newest sample that is at most so old, by the clock of the grid that it is asked on.

    What Prometheus shows at a moment may be as old as its lookback: that and the span asked for make up `maxAge`.
    """
    lookback = min(max_age_seconds / 2, _LONGEST_LOOKBACK_SECONDS)
    span = max_age_seconds - lookback
    # The window of a question is half its lookback; `$window` is put in already.
    return Question(measurement, lookback / 2, span, max(span / 10, 1.0))


def trend_question(measurement: Measurement, trend_seconds: float) -> Question:
    """Asks for the values over the time that a trend is learned from."""
    step = step_for(trend_seconds, max(trend_seconds / 200, 1.0))
    return Question(measurement, max(step, 1.0), trend_seconds, step)


def read(answer: Answer) -> Reading:
    """What an answer says about the present."""
    if isinstance(answer, Unavailable):
        return Unknown(answer.reason, unasked=True)
    if isinstance(answer, NoData):
        return Unknown(answer.reason)
    series = series_of(answer)
    if series is None:
        return Unknown("several series for one value: aggregate the query, such as sum(...)")
    return _newest(series)


def _newest(series: Series) -> Reading:
    if not series.times:
        return Unknown("Prometheus has no data")
    value = series.values[-1]
    if value < 0:
        return Unknown("the value is negative, which no usage is")
    if value > LARGEST:
        return Unknown("the value is beyond all measure")
    return Known(amount_of(value), datetime.fromtimestamp(series.times[-1], UTC))


def series_of(answer: Answered) -> Series | None:
    """The one series; None where there are several."""
    return answer.by_variant[0][1] if len(answer.by_variant) == 1 else None


def amount_of(value: float) -> Decimal:
    """A sample as an amount: as Prometheus writes it, to six places."""
    # Through repr: 0.1 is 0.1 and not 0.1000000000000000055.
    exact = Decimal(repr(value))
    return exact if exact == exact.to_integral_value() else exact.quantize(_PLACES)


def max_age_seconds(text: str) -> float:
    """Of `maxAge`, at least two seconds: less holds no sample."""
    return max(parse_duration(text), 2.0)


def _names(tenant: Tenant) -> dict[str, str]:
    # Names of objects hold nothing that a regular expression or PromQL's strings would read otherwise; no namespace is
    # named `-`: a tenant without any matches nothing, and not everything.
    return {"tenant": tenant.name, "namespaces": "|".join(tenant.namespaces) or "-"}


def _named(text: str, names: Mapping[str, str]) -> str:
    return _NAME.sub(lambda found: names.get(found[1], found[0]), text)


def _filled(query: str, tenant: Tenant, usage: Usage, window: str, *, params: Mapping[str, str]) -> str:
    names = {**params, **_names(tenant), "window": usage.window or window}
    filled = _named(query, names)
    left = [name for name in _NAME.findall(filled) if name not in _KEPT]
    if left:
        message = f"the query leaves ${left[0]} open: name it in usage.params"
        raise UsageError(message)
    return filled
