"""Facts about PromQL that the judge relies on, each against a real Prometheus and recorded series."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from pilotage.judging.evidence import PARTIAL, Answer, Answered, Measurement, NoData, Question
from pilotage.metrics.client import PrometheusClient, QueryError
from pilotage.metrics.source import PrometheusSource
from pilotage.openslo.queries import errors_of
from pilotage.resources.rollout import PilotRolloutSpec
from testbed.history import STALE, History, prometheus_with_history
from testbed.prometheus import start_prometheus
from tests.builders import judge, read_rules

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
T = NOW.timestamp()
SCRAPE = 15.0

pytestmark = pytest.mark.cluster("prometheus")


def scraped(
    value: float | Callable[[float], float], *, back: float = 900.0, until: float = 0.0
) -> list[tuple[float, float]]:
    """What scrapes from `back` to `until` seconds before NOW found; the time is told in seconds from NOW."""
    times = _range(-back, -until, SCRAPE)
    return [(T + at, value(at) if callable(value) else value) for at in times]


def _range(start: float, end: float, step: float) -> list[float]:
    return [start + index * step for index in range(round((end - start) / step) + 1)]


def record(history: History) -> None:
    history.add("flat_total", scraped(100), code="200")
    history.add("outage_total", scraped(lambda at: 1000 + at), code="500")
    history.add("late_total", scraped(1, back=60))  # the first error ever creates the series
    history.add("late_from_zero_total", scraped(lambda at: float(at >= -60)))
    history.add("jump_total", scraped(lambda at: 107 if at >= -285 else 100))  # between -300 and -285
    history.add("reset_total", scraped(lambda at: 50 if at < -300 else 3, back=600), pod="a")
    history.add("reset_total", scraped(lambda at: 1000 + (20 if at >= -300 else 0), back=600), pod="b")
    history.add("gap", scraped(7, back=1800, until=900))
    history.add("gone", [*scraped(7, back=1800, until=915), (T - 900, STALE)])
    history.add("served_total", scraped(served, back=72 * 3600 + 60), variant="on")
    history.add("early_total", [(T + at - 8, served(at)) for at in _range(-900, 0, SCRAPE)])
    for le, share in (("0.25", 0.8), ("0.5", 0.94), ("1.0", 1.0), ("+Inf", 1.0)):
        # Ten requests a second, 6% of them slower than half a second.
        counted = [(at, (9000 + 10 * (at - T)) * share) for at, _ in scraped(0)]
        history.add("seconds_bucket", counted, le=le, variant="on")
    history.add("days", [(T - hours * 3600, 9.5) for hours in range(15 * 24, -1, -1)])


def served(at: float) -> float:
    """A counter whose increments differ from scrape to scrape, far from its beginning."""
    step = round(at / SCRAPE)
    return 1e6 + 10 * step + (step % 7)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with prometheus_with_history() as (prometheus, history):
        record(history)
        history.write()
        yield prometheus.url


def value(client: PrometheusClient, query: str, at: float = 0.0) -> float | None:
    """The one value `at` seconds from NOW; None where the answer is empty."""
    found = client.instant(query, at=T + at, seconds=10).series
    assert len(found) <= 1, found
    return found[0].values[0] if found else None


async def ask(source: PrometheusSource, question: Question, now: datetime = NOW) -> Answer:
    return (await source.ask([question], now))[question]


def now_of(measurement: Measurement, window: float = 60) -> Question:
    return Question(measurement, window, 0, SCRAPE)


async def test_a_ratio_without_requests_is_nan_which_compares_as_if_it_were_bad_or_not_there(
    client: PrometheusClient, source: PrometheusSource
) -> None:
    ratio = "rate(flat_total[1m]) / rate(flat_total[1m])"
    nan = value(client, ratio)
    assert nan is not None
    assert nan != nan  # noqa: PLR0124 - only NaN differs from itself
    assert value(client, f"{ratio} >= bool 0.99") == 0
    assert value(client, f"{ratio} < 0.99") is None
    expected = NoData("no data: the query yields NaN")
    assert (
        await ask(source, now_of(Measurement(query="rate(flat_total[$window]) / rate(flat_total[$window])")))
        == expected
    )


async def test_errors_that_never_happened_are_an_empty_answer_and_zero_errors_only_beside_a_total(
    client: PrometheusClient, source: PrometheusSource
) -> None:
    assert value(client, "sum(increase(no_errors_total[1m]))") is None
    served = "sum(increase(served_total[$window]))"
    none = "sum(increase(no_errors_total[$window]))"
    assert _latest(await ask(source, now_of(Measurement(errors=none, total=served)))) == 0
    expected = NoData("Prometheus has no data")
    assert await ask(source, now_of(Measurement(errors=none, total=none))) == expected


async def test_a_filter_for_successes_finds_nothing_in_a_total_outage_where_counting_errors_does(
    client: PrometheusClient, source: PrometheusSource
) -> None:
    assert value(client, 'sum(rate(outage_total{code!~"5.."}[1m])) / sum(rate(outage_total[1m]))') is None
    errors = 'sum(increase(outage_total{code=~"5.."}[$window]))'
    asked = now_of(Measurement(errors=errors, total="sum(increase(outage_total[$window]))"))
    assert _latest(await ask(source, asked)) == 1


def test_errors_as_total_less_good_are_all_of_total_in_a_total_outage(client: PrometheusClient) -> None:
    """`outage_total` grows by 900 in 15 minutes and none is good; a mere difference would find nothing: no errors."""
    good, total = 'sum(increase(outage_total{code="200"}[5m]))', "sum(increase(outage_total[5m]))"
    assert value(client, f"({total}) - ({good})") is None
    assert value(client, errors_of(good, total)) == pytest.approx(300, rel=0.1)
    assert value(client, errors_of(total, total)) == 0
    assert value(client, errors_of(f"{total} * 1.01", total)) == 0  # extrapolated a little further than total
    by_code = "sum by (code) (increase(outage_total[5m]))"
    assert value(client, errors_of(f'{by_code} and on (code) up{{code="none"}}', by_code)) == pytest.approx(
        300, rel=0.1
    )
    assert value(client, errors_of("sum(nothing)", "sum(nothing)")) is None


async def test_a_histogram_tells_at_its_boundaries_how_many_requests_are_slower(source: PrometheusSource) -> None:
    buckets = "sum by (variant, le) (increase(seconds_bucket[$window]))"

    async def above(seconds: float) -> Answer:
        return await ask(source, now_of(Measurement(buckets=buckets, above=seconds)))

    half, whole = await above(0.5), await above(1)
    assert _latest(half) == pytest.approx(0.06)
    assert _latest(whole) == 0
    series = half.series_of("on") if isinstance(half, Answered) else None
    assert series is not None
    assert series.weights[-1] == pytest.approx(600, rel=0.02)  # requests of a minute
    assert await above(0.3) == NoData(
        "0.3 is no boundary of the histogram's buckets: take 0.25 or 0.5, or add the bucket"
    )


def test_a_counter_that_first_appears_at_1_loses_its_first_error(client: PrometheusClient) -> None:
    assert value(client, "increase(late_total[5m])") == 0
    assert value(client, "increase(late_from_zero_total[5m])") == pytest.approx(1, abs=0.1)


def test_disjoint_windows_lose_what_falls_between_them_and_overlap_by_one_scrape_loses_nothing(
    client: PrometheusClient,
) -> None:
    # Samples at -300 and -285 embrace the jump; windows end in between.
    minutes = [value(client, "increase(jump_total[60s])", at) for at in (-298, -238)]
    assert minutes == [0, 0]
    overlapping = [value(client, "increase(jump_total[75s]) * 60 / 75", at) for at in (-298, -238)]
    assert overlapping == [0, pytest.approx(7)]


def test_a_window_of_one_scrape_holds_no_increase(client: PrometheusClient) -> None:
    assert value(client, "increase(served_total[15s])", -7) is None
    assert value(client, "increase(served_total[30s])", -7) is not None


def test_a_reset_is_handled_before_the_sum_and_hidden_after_it(client: PrometheusClient) -> None:
    rated_first = value(client, "sum(increase(reset_total[10m]))", 0)
    summed_first = value(client, "increase(sum(reset_total)[10m:15s])", 0)
    assert rated_first == pytest.approx(23, abs=0.1)  # 3 after the reset of a, 20 of b
    assert summed_first is not None
    assert summed_first > 1000  # the sum fell from 1050 to 1023: taken for a reset of all


async def test_a_gap_shows_the_last_value_for_5_minutes_and_a_stale_marker_ends_it_at_once(
    client: PrometheusClient, source: PrometheusSource
) -> None:
    assert [value(client, "gap", -900 + age) for age in (1, 290, 310)] == [7, 7, None]
    assert value(client, "time() - timestamp(gap)", -900 + 290) == 290  # the sample's age tells
    assert [value(client, "gone", -900 + age) for age in (-1, 1)] == [7, None]
    over_window = now_of(Measurement(query="last_over_time(gap[$window])"))
    assert await ask(source, over_window, NOW - timedelta(seconds=900 - 90)) == NoData("Prometheus has no data")


def test_a_subquery_of_days_is_aligned_to_midnight_utc(client: PrometheusClient) -> None:
    for at in (0, 3600, 5 * 3600):
        midnight = value(client, "max_over_time(vector(time())[2d:1d])", at)
        assert midnight == T - 9 * 3600
    assert value(client, "count_over_time(vector(1)[2d:1d])") == 2


async def test_a_range_of_more_than_11000_points_is_refused_and_asked_in_pieces(
    client: PrometheusClient, source: PrometheusSource
) -> None:
    def ranged(points: int) -> int:
        start = T - (points - 1) * SCRAPE
        reply = client.range("served_total", start=start, end=T, step=SCRAPE, seconds=10)
        return len(reply.series[0].times)

    assert ranged(11_000) == 11_000
    with pytest.raises(QueryError, match="rejects"):
        ranged(11_002)
    history = Question(Measurement(query="served_total"), 60, 72 * 3600, SCRAPE, aligned=True)
    answer = await ask(source, history)
    assert isinstance(answer, Answered)
    ((variant, series),) = answer.by_variant
    assert variant == "on"
    end = history.end_at(T)
    assert series.times == tuple(end + at for at in _range(-72 * 3600, 0, SCRAPE))
    assert series.values == tuple(served((at - T) // SCRAPE * SCRAPE) for at in series.times)


async def test_errors_and_total_of_a_history_are_put_together_each_for_itself(source: PrometheusSource) -> None:
    errors, total = (f"sum by (variant) (increase(served_total[$window])) * {factor}" for factor in (0.01, 1))
    history = Question(Measurement(errors=errors, total=total), 30, 72 * 3600 - 60, SCRAPE, aligned=True)
    answer = await ask(source, history)
    assert isinstance(answer, Answered)
    ((_, series),) = answer.by_variant
    assert len(series.values) == history.steps + 1
    assert series.values == pytest.approx([0.01] * len(series.values))


async def test_aligned_steps_hold_each_increment_once_however_often_they_are_asked(source: PrometheusSource) -> None:
    """A window of a step and a scrape, scaled to the step: the sum of all steps is what was counted."""
    query = f"increase(early_total[$window]) * {SCRAPE} / {2 * SCRAPE}"  # scraped 8 s before full steps
    asked = Question(Measurement(query=query), 2 * SCRAPE, 10 * SCRAPE, SCRAPE, aligned=True)
    steps: dict[float, set[float]] = {}
    for seconds in range(-600, 0, 11):
        answer = await ask(source, asked, NOW + timedelta(seconds=seconds))
        assert isinstance(answer, Answered)
        for at, found in zip(answer.by_variant[0][1].times, answer.by_variant[0][1].values, strict=True):
            steps.setdefault(at, set()).add(round(found, 6))
    assert len({at % SCRAPE for at in steps}) == 1
    assert all(len(found) == 1 for found in steps.values())
    counted = served(max(steps) - T) - served(min(steps) - SCRAPE - T)  # `served` rounds to the scrape
    assert sum(found.pop() for found in steps.values()) == pytest.approx(counted, abs=1e-3)


async def test_a_criterion_longer_than_the_retention_is_no_data_and_says_how_many_days_are_missing(
    source: PrometheusSource,
) -> None:
    spec = PilotRolloutSpec.model_validate(
        {
            "feature": {"flag": "f"},
            "indicators": [{"name": "satisfaction", "query": "avg(last_over_time(days[$window]))", "window": "2h"}],
            "go": ["satisfaction >= 9 for 60d"],
            "steps": [{"name": "one", "users": 1}],
        }
    )
    (rule,) = read_rules(spec, {}, namespace="shop", name="search")
    finding = judge(rule, await ask(source, rule.question), NOW)
    assert finding.verdict == "no-data"
    assert "no data for 46 of 60 days" in finding.message


def _latest(answer: Answer) -> float:
    assert isinstance(answer, Answered), answer
    ((_, series),) = answer.by_variant
    return series.values[-1]


async def test_an_answer_with_a_warning_is_no_data() -> None:
    """A part of the answer is to come from a store that is away: Prometheus gives its own part, and warns."""
    with start_prometheus() as server:
        written = server.directory / "prometheus.yml"
        away = {"url": "http://127.0.0.1:9/read", "read_recent": True}
        written.write_text(json.dumps({**json.loads(written.read_text()), "remote_read": [away]}))
        server.restart()
        async with PrometheusSource(server.url) as source:
            question = Question(Measurement(query="vector(1) or absent(up)"), 60.0, 0.0, 15.0)
            answers = await source.ask([question], datetime.now(UTC))
    assert answers[question] == PARTIAL
