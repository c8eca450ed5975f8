"""Usage as it is asked for and read: nothing that is not a present number counts as one."""

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.judging.evidence import Answered, Group, NoData, Series, Unavailable
from pilotage.metrics.streams import stream_of
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.tenant_usage import Usage
from pilotage.tenancy.usage import (
    Known,
    Tenant,
    Unknown,
    UsageError,
    amount_of,
    measurement_of,
    question_of,
    read,
    trend_question,
)

ABOUT = Tenant("search-prod", ("shop", "shop-staging"))


def usage(**given: Any) -> Usage:
    return Usage.model_validate(given)


def template(**given: Any) -> dict[str, IndicatorTemplateSpec]:
    return {"vectors": IndicatorTemplateSpec.model_validate(given)}


def answered(*values: float, variant: str = "") -> Answered:
    times = tuple(1000.0 + number for number in range(len(values)))
    return Answered(((variant, Series(times, values)),))


def test_names_are_put_into_a_query() -> None:
    found = measurement_of(usage(query='sum(rate(x{ns=~"$namespaces",t="$tenant"}[$window]))'), ABOUT, {})
    assert found.query == 'sum(rate(x{ns=~"shop|shop-staging",t="search-prod"}[5m]))'


def test_a_tenant_without_namespaces_matches_nothing_and_not_everything() -> None:
    found = measurement_of(usage(query='x{ns=~"$namespaces"}'), Tenant("a", ()), {})
    assert found.query == 'x{ns=~"-"}'


def test_params_and_windows_are_put_into_a_template() -> None:
    templates = template(query='sum(increase(v{c="$collection"}[$window]))', window="10m")
    given = usage(templateRef="vectors", params={"collection": "products"})
    assert measurement_of(given, ABOUT, templates).query == 'sum(increase(v{c="products"}[10m]))'


def test_a_param_can_not_take_the_place_of_the_tenant() -> None:
    given = usage(templateRef="vectors", params={"tenant": "victim", "namespaces": "victim"})
    found = measurement_of(given, ABOUT, template(query='v{t="$tenant",n=~"$namespaces"}'))
    assert "victim" not in found.query


def test_one_query_answers_for_all_tenants_by_a_label() -> None:
    templates = template(
        query='sum by (tenant) (v{tenant=~"$tenant"})', groupBy={"label": "tenant", "value": "$tenant"}
    )
    found = measurement_of(usage(templateRef="vectors"), ABOUT, templates)
    assert found.group == Group("tenant", "search-prod")
    assert found.query == 'sum by (tenant) (v{tenant=~"$group"})'


@pytest.mark.parametrize(
    ("given", "templates", "said"),
    [
        ({"templateRef": "vectors"}, {}, "there is no IndicatorTemplate vectors"),
        ({"templateRef": "vectors"}, template(errors="e", total="t"), "has no single value"),
        ({"templateRef": "vectors"}, template(query="v{c='$collection'}"), "leaves $collection open"),
        ({"query": "v{f='$flag'}"}, {}, "leaves $flag open"),
    ],
)
def test_what_can_not_be_asked_says_why(
    given: dict[str, Any], templates: dict[str, IndicatorTemplateSpec], said: str
) -> None:
    with pytest.raises(UsageError, match=said.replace("$", r"\$")):
        measurement_of(usage(**given), ABOUT, templates)


@given(st.floats(min_value=2, max_value=1e6))
def test_no_sample_older_than_max_age_is_asked_for(max_age: float) -> None:
    question = question_of(measurement_of(usage(query="x"), ABOUT, {}), max_age)
    stream = stream_of(question, 10_000_000.0)
    lookback = stream.lookback_seconds if stream.lookback_seconds is not None else 300.0
    assert question.span_seconds + lookback <= max_age + 1e-6
    assert question.steps <= 11


def test_fifty_tenants_that_use_one_template_are_one_request() -> None:
    templates = template(
        query='sum by (tenant) (v{tenant=~"$tenant",kind="$kind"})', groupBy={"label": "tenant", "value": "$tenant"}
    )
    given = usage(templateRef="vectors", params={"kind": "product"})
    asked = [measurement_of(given, Tenant(f"tenant-{number}", ()), templates) for number in range(50)]
    assert len(set(asked)) == 50
    assert len({stream_of(question_of(each, 300.0), 10_000_000.0) for each in asked}) == 1


def test_a_trend_asks_for_few_points() -> None:
    measurement = measurement_of(usage(query="x"), ABOUT, {})
    assert all(trend_question(measurement, days * 86400.0).steps <= 500 for days in (0.01, 1, 7, 20))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (NoData("Prometheus has no data"), "Prometheus has no data"),
        (NoData("no data: the query yields NaN"), "no data: the query yields NaN"),
        (answered(1, -0.5), "the value is negative, which no usage is"),
        (Answered((("a", Series((1.0,), (1.0,))), ("b", Series((1.0,), (2.0,))))), "several series"),
        (answered(), "Prometheus has no data"),
        (answered(1e31), "the value is beyond all measure"),
    ],
)
def test_what_is_no_present_number_is_unknown(answer: Any, reason: str) -> None:
    found = read(answer)
    assert isinstance(found, Unknown)
    assert reason in found.reason
    assert not found.unasked


def test_where_prometheus_is_down_nobody_was_asked() -> None:
    assert read(Unavailable("Prometheus can't be reached")) == Unknown("Prometheus can't be reached", unasked=True)


def test_the_newest_sample_counts_with_its_time() -> None:
    assert read(answered(1, 2, 0.1)) == Known(Decimal("0.1"), datetime.fromtimestamp(1002, UTC))


@given(st.floats(min_value=0, max_value=1e15).filter(math.isfinite))
def test_a_sample_becomes_an_amount_without_noise(value: float) -> None:
    assert abs(float(amount_of(value)) - value) <= max(1e-6, value * 1e-12)
