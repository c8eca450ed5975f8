"""1,000 rollouts on five templates: five queries an interval, and each rollout reads its own answer."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from prometheus_client import REGISTRY

from pilotage.judging.evidence import Answer, Answered, NoData, Question
from pilotage.judging.questions import Resolved, over, present, resolve_indicators
from pilotage.metrics.source import PrometheusSource
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRolloutSpec
from testbed import PrometheusServer
from testbed.history import History, prometheus_with_history

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
INTERVAL = 15.0
FLAGS = [f"feature-{number:04}" for number in range(1000)]
VARIANTS = ("on", "off")
BY_FLAG = {"label": "flag", "value": "$flag"}

pytestmark = pytest.mark.cluster("prometheus")


def counted(metric: str) -> str:
    return f'sum by (flag, variant) (increase({metric}{{flag=~"$flag"}}[$window]))'


TEMPLATES = {
    name: IndicatorTemplateSpec.model_validate({**spec, "groupBy": BY_FLAG})
    for name, spec in {
        "errors": {"errors": counted("errors_total"), "total": counted("requests_total"), "window": "2m"},
        "slow": {
            "errors": counted("slow_total"),
            "total": "sum by (flag, variant) (increase(requests_total[$window]))",
        },
        "satisfaction": {"query": "avg by (flag, variant) (avg_over_time(satisfaction[$window]))", "unit": "score"},
        "cost": {"query": 'max by (flag) (cost{flag=~"$flag"})', "unit": "count"},
        "doubled": {"query": "satisfaction"},
    }.items()
}


def failing(number: int) -> int:
    """Errors of a flag's treatment in ten requests."""
    return number % 5


def record(history: History) -> None:
    """5 minutes of 1,000 flags; the last one has never been used, and number 7 has two pods."""
    times = [NOW.timestamp() - 300 + INTERVAL * step for step in range(21)]
    for number, flag in enumerate(FLAGS[:-1]):
        for variant in VARIANTS:
            labels = {"flag": flag, "variant": variant}
            history.add("requests_total", [(at, 1000 + 10 * i) for i, at in enumerate(times)], **labels)
            if bad := failing(number) if variant == "on" else 0:
                history.add("errors_total", [(at, 1000 + bad * i) for i, at in enumerate(times)], **labels)
            history.add("slow_total", [(at, 1000 + i) for i, at in enumerate(times)], **labels)
            history.add("satisfaction", [(at, number / 100) for at in times], **labels)
        history.add("cost", [(at, float(number)) for at in times], flag=flag)
    history.add("satisfaction", [(at, 1.0) for at in times], flag=FLAGS[7], variant="on", pod="b")


@pytest.fixture(scope="module")
def recorded() -> Iterator[PrometheusServer]:
    with prometheus_with_history() as (prometheus, history):
        record(history)
        history.write()
        yield prometheus


def questions_of(flag: str, *, window: str | None = None) -> dict[str, Question]:
    """What a rollout asks: errors over two minutes at each interval, the rest as it is now."""
    indicators: list[dict[str, Any]] = [{"name": name, "templateRef": name} for name in TEMPLATES]
    if window:
        indicators[0]["window"] = window
    spec = PilotRolloutSpec.model_validate(
        {"feature": {"flag": flag}, "indicators": indicators, "steps": [{"name": "one", "users": 1}]}
    )
    known = resolve_indicators(spec, TEMPLATES, namespace="shop", name=flag)
    asked: dict[str, Question] = {}
    for name, resolved in known.items():
        assert isinstance(resolved, Resolved)
        window_seconds = resolved.window_seconds
        asked[name] = over(resolved, window_seconds, 120) if name == "errors" else present(resolved, window_seconds)
    return asked


ASKED = {flag: questions_of(flag) for flag in FLAGS}


async def ask_all(source: PrometheusSource, now: datetime) -> dict[str, dict[str, Answer]]:
    """Each rollout asks for itself, as the operator's workers do."""

    async def one(flag: str) -> dict[str, Answer]:
        answers = await source.ask(ASKED[flag].values(), now)
        return {name: answers[question] for name, question in ASKED[flag].items()}

    return dict(zip(FLAGS, await asyncio.gather(*map(one, FLAGS)), strict=True))


def counts(prometheus: PrometheusServer) -> tuple[int, int]:
    """Queries so far as the operator counts them, and as Prometheus does."""
    ours = sum(
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "pilotage_queries_total"
    )
    with requests.Session() as session:
        session.trust_env = False
        text = session.get(f"{prometheus.url}/metrics", timeout=10).text
    served = [line for line in text.splitlines() if line.startswith("prometheus_http_requests_total{")]
    asked = [line for line in served if 'handler="/api/v1/query' in line]
    return int(ours), sum(int(float(line.rsplit(" ", 1)[1])) for line in asked)


def grown(before: tuple[int, int], after: tuple[int, int]) -> tuple[int, int]:
    return after[0] - before[0], after[1] - before[1]


def values(answer: Answer, variant: str) -> Sequence[float]:
    assert isinstance(answer, Answered), answer
    series = answer.series_of(variant)
    assert series is not None
    return series.values


async def test_1000_rollouts_on_5_templates_cost_5_queries_an_interval(recorded: PrometheusServer) -> None:
    async with PrometheusSource(recorded.url, deadline_seconds=60) as source:
        before = counts(recorded)
        first = await ask_all(source, NOW)
        late = await ask_all(source, NOW + timedelta(seconds=INTERVAL - 1))
        assert grown(before, counts(recorded)) == (5, 5)
        await ask_all(source, NOW + timedelta(seconds=INTERVAL))
        assert grown(before, counts(recorded)) == (10, 10)
    assert first == late
    for number, flag in enumerate(FLAGS[:-1]):
        told = first[flag]
        assert values(told["errors"], "on") == pytest.approx([failing(number) / 10] * 9)
        assert values(told["errors"], "off") == pytest.approx([0] * 9)
        assert values(told["slow"], "on") == pytest.approx([0.1])
        assert values(told["cost"], "on") == (number,)
        if number != 7:
            assert values(told["satisfaction"], "on") == pytest.approx([number / 100])
            assert values(told["doubled"], "on") == pytest.approx([number / 100])


async def test_a_flag_without_series_is_no_data_and_doubled_series_are_their_own_flags(
    recorded: PrometheusServer,
) -> None:
    async with PrometheusSource(recorded.url) as source:
        told = await ask_all(source, NOW)
    assert set(told[FLAGS[-1]].values()) == {NoData(f'Prometheus has no data with flag="{FLAGS[-1]}"')}
    message = "several series for the variant on: aggregate the query, such as sum by (flag, variant) (...)"
    assert told[FLAGS[7]]["doubled"] == NoData(message)
    assert isinstance(told[FLAGS[8]]["doubled"], Answered)


async def test_what_differs_costs_a_query_each(recorded: PrometheusServer) -> None:
    windows = ("3m", "4m")
    asked = {question for flag in FLAGS[:50] for w in windows for question in questions_of(flag, window=w).values()}
    async with PrometheusSource(recorded.url) as source:
        before = counts(recorded)
        answers = await source.ask(asked, NOW)
        # Errors over two windows are two questions; the other four templates are asked as before.
        assert grown(before, counts(recorded)) == (6, 6)
    assert not [answer for answer in answers.values() if not isinstance(answer, Answered | NoData)]


async def test_a_flag_asked_alone_gets_the_same_answer(recorded: PrometheusServer) -> None:
    """A history is asked for its flag alone: with the flag in the matcher, or filtered where there is none."""
    asked = ASKED[FLAGS[3]]
    histories = {
        name: Question(question.measurement, question.window_seconds, 1100 * INTERVAL, INTERVAL)
        for name, question in asked.items()
    }
    async with PrometheusSource(recorded.url) as source:
        shared = await source.ask(asked.values(), NOW)
        alone = await source.ask(histories.values(), NOW)
    for name in asked:
        newest = values(alone[histories[name]], "on")[-1]
        assert newest == pytest.approx(values(shared[asked[name]], "on")[-1])


async def test_a_few_rollouts_are_asked_for_by_name_once_they_are_known(recorded: PrometheusServer) -> None:
    few = FLAGS[10:20]
    async with PrometheusSource(recorded.url) as source:
        for tick in range(3):
            now = NOW + timedelta(seconds=tick * INTERVAL)
            asked = few if tick < 2 else [*few, FLAGS[20], FLAGS[21]]
            before = counts(recorded)
            answers = await asyncio.gather(*(source.ask(ASKED[flag].values(), now) for flag in asked))
            # Two new ones in the third interval: one more query each, but where no query has a place for names.
            assert grown(before, counts(recorded)) == ((5, 5) if tick < 2 else (8, 8))
            for flag, told in zip(asked, answers, strict=True):
                assert values(told[ASKED[flag]["cost"]], "on") == (FLAGS.index(flag),)
                assert values(told[ASKED[flag]["errors"]], "off") == pytest.approx([0] * 9)
