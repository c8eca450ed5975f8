"""Rollouts with queries of their own share requests; what one of them asks spoils nobody else's answer."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from pilotage.judging.evidence import Answer, Answered, Measurement, NoData, Question, Unavailable
from pilotage.metrics import telemetry
from pilotage.metrics.source import PrometheusSource
from testbed.history import History, prometheus_with_history

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
INTERVAL = 15.0
SHARED = 45
"""Fewer requests than rollouts. On a quiet machine it is 6; on a busy one, batches leave half empty, and who was
answered late is asked alone once more."""
FLAGS = [f"f{number}" for number in range(60)]

pytestmark = pytest.mark.cluster("prometheus")


def record(history: History) -> None:
    """Ten minutes before NOW and ten after; the pods of `late` are two from five minutes after NOW on."""
    times = [NOW.timestamp() + INTERVAL * step for step in range(-40, 41)]
    for number, flag in enumerate(FLAGS):
        for variant in ("on", "off"):
            history.add("r_total", [(at, 1000 + 10 * i) for i, at in enumerate(times)], flag=flag, variant=variant)
            bad = number % 5 if variant == "on" else 0
            history.add("e_total", [(at, 1000 + bad * i) for i, at in enumerate(times)], flag=flag, variant=variant)
    history.add("late", [(at, 1) for at in times], pod="a")
    history.add("late", [(at, 1) for at in times if at >= NOW.timestamp() + 300], pod="b")
    history.add("one", [(at, 1) for at in times])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with prometheus_with_history() as (prometheus, history):
        record(history)
        history.write()
        yield prometheus.url


@pytest.fixture
async def source(url: str) -> AsyncIterator[PrometheusSource]:
    async with PrometheusSource(url, deadline_seconds=30) as made:
        yield made


def ratio(flag: str) -> Question:
    errors, total = (f'sum by (variant) (increase({x}_total{{flag="{flag}"}}[$window]))' for x in "er")
    return Question(Measurement(errors=errors, total=total), 60, 120, INTERVAL)


def single(query: str) -> Question:
    return Question(Measurement(query=query), 60, 120, INTERVAL)


RATIOS = {flag: ratio(flag) for flag in FLAGS}


async def tick(
    source: PrometheusSource, number: int, more: tuple[Question, ...] = ()
) -> tuple[int, dict[Question, Answer]]:
    """Each rollout asks for itself at the same moment; how many queries that took, and the answers."""
    now = NOW + timedelta(seconds=number * INTERVAL)
    before = queries()
    answers = await asyncio.gather(*(source.ask([question], now) for question in (*RATIOS.values(), *more)))
    found = {question: answer for each in answers for question, answer in each.items()}
    for place, flag in enumerate(FLAGS):
        assert treatment(found[RATIOS[flag]]) == pytest.approx([place % 5 / 10] * 9), flag
    return queries() - before, found


def treatment(answer: Answer) -> list[float]:
    assert isinstance(answer, Answered), answer
    return list(dict(answer.by_variant)["on"].values)


def newest(answer: Answer) -> float:
    assert isinstance(answer, Answered), answer
    return answer.by_variant[0][1].values[-1]


def queries() -> int:
    metrics = telemetry.QUERIES.collect()
    return int(sum(s.value for metric in metrics for s in metric.samples if s.name == "pilotage_queries_total"))


async def test_rollouts_share_requests_from_the_second_interval_on(source: PrometheusSource) -> None:
    first, _ = await tick(source, 0)
    second, _ = await tick(source, 1)
    third, _ = await tick(source, 2)
    assert first == 60
    assert min(second, third) >= 6
    assert max(second, third) < SHARED


async def test_a_single_query_shows_first_that_it_is_whole_then_that_it_is_a_vector(source: PrometheusSource) -> None:
    pair = (single("one * 2 # doubled"), single("one * 3"))
    costs = []
    for number in range(4):
        cost, found = await tick(source, number, pair)
        costs.append(cost)
        assert [newest(found[each]) for each in pair] == [2, 3]
    assert costs[0] == 62
    assert max(costs[1:]) < SHARED


@pytest.mark.parametrize(
    "query",
    [
        "vector(1)) or (vector(2)",
        'one), "pilotage_part", "0", "", "") unless on () label_replace((one',
        "one) # and the rest",
        "one[",
        "'",
    ],
)
async def test_a_query_that_is_not_whole_never_travels_with_others(source: PrometheusSource, query: str) -> None:
    bad = single(query)
    for number in range(4):
        cost, found = await tick(source, number, (bad,))
        assert isinstance(found[bad], Unavailable)
        assert cost == 61 if number == 0 else 7 <= cost < SHARED


async def test_errors_that_reach_into_their_own_total_reach_nobody_elses(source: PrometheusSource) -> None:
    errors = 'one), "pilotage_part", "0", "", "") unless on () label_replace((one'
    bad = Question(Measurement(errors=errors, total="one"), 60, 120, INTERVAL)
    costs = [(await tick(source, number, (bad,)))[0] for number in range(3)]
    assert costs[0] == 61
    assert max(costs[1:]) < SHARED  # it travels with others, and `tick` has looked at their answers


async def test_a_number_is_asked_alone(source: PrometheusSource) -> None:
    number = single("scalar(one)")
    costs = []
    for at in range(4):
        cost, found = await tick(source, at, (number,))
        costs.append(cost)
        assert newest(found[number]) == 1
    assert costs[0] == 61
    assert max(costs[1:]) < SHARED  # one of them tries it as a vector, which is refused


async def test_what_breaks_later_is_asked_again_alone_in_the_same_interval(source: PrometheusSource) -> None:
    """The pods of `late` double: `one / on () late` is many-to-many from then on, and the request is refused."""
    late = single("one / on () late")
    for number in range(3):
        _, found = await tick(source, number, (late,))
        assert newest(found[late]) == 1
    cost, found = await tick(source, 28, (late,))
    assert isinstance(found[late], Unavailable)
    # One of seven requests failed; its nine or ten rollouts and the offender were asked alone.
    assert 7 < cost <= 60 + 7
    after, found = await tick(source, 29, (late,))
    assert after < SHARED  # they have to show again that they are whole
    settled, _ = await tick(source, 30, (late,))
    assert 7 <= settled < SHARED  # the offender alone, the others as before


async def test_a_doubled_series_is_told_to_its_own_rollout(source: PrometheusSource) -> None:
    doubled = single('r_total{flag="f0"}')
    plain = single('r_total{flag="f0",variant="on"} or r_total{flag="f1",variant="on"}')
    for number in range(4):
        _, found = await tick(source, number, (doubled, plain))
    assert isinstance(found[doubled], Answered)
    message = "several series for the variant on: aggregate the query, such as sum by (variant) (...)"
    assert found[plain] == NoData(message)
