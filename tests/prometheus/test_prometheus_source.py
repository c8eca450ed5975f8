"""The source of evidence against a real Prometheus: what no traffic, no errors, NaN, gaps and outages look like."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime

import pytest
import requests
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pilotage.judging.evidence import Answer, Answered, Measurement, NoData, Question, Unavailable
from pilotage.metrics.source import PrometheusSource
from pilotage.resources.rollout import PilotRolloutSpec
from testbed import PrometheusServer, start_prometheus
from tests.builders import judge, read_rules
from tests.prometheus.exporters import Exporter

REQUESTS = 'sum by (variant) (increase(requests_total{job="JOB"}[$window]))'
ERRORS = 'sum by (variant) (increase(errors_total{job="JOB"}[$window]))'
TOOK = 'histogram_quantile(0.95, sum by (variant, le) (rate(took_seconds_bucket{job="JOB"}[$window])))'


class Shop:
    """An application with requests, errors, latency and satisfaction by variant."""

    def __init__(self, prometheus: PrometheusServer, job: str) -> None:
        self.prometheus = prometheus
        self.job = job
        self.start()

    def start(self, port: int = 0, *, errors: bool = False) -> None:
        """Start from zero, as after a crash; with `errors` the counters of errors are there from the beginning."""
        self.exporter = Exporter(port, lambda registry: self._fill(registry, errors=errors))
        self.prometheus.set_targets(self.job, [self.exporter.address])

    def _fill(self, registry: CollectorRegistry, *, errors: bool) -> None:
        self.requests = Counter("requests", "All.", ["variant"], registry=registry)
        self.errors = Counter("errors", "Failed.", ["variant"], registry=registry)
        self.took = Histogram("took_seconds", "Latency.", ["variant"], registry=registry)
        self.satisfaction = Gauge("satisfaction", "Score.", ["variant", "pod"], registry=registry)
        for variant in ("on", "off"):
            self.requests.labels(variant)
            if errors:
                self.errors.labels(variant)

    def question(
        self, query: str = "", *, errors: str = "", total: str = "", window: float = 5, span: float = 0
    ) -> Question:
        query, errors, total = (text.replace("JOB", self.job) for text in (query, errors, total))
        return Question(Measurement(query, errors, total), window_seconds=window, span_seconds=span, step_seconds=1)

    def ratio(self, *, window: float = 5, span: float = 0) -> Question:
        return self.question(errors=ERRORS, total=REQUESTS, window=window, span=span)


@pytest.fixture(scope="module")
def own_prometheus() -> Iterator[PrometheusServer]:
    """A Prometheus that tests may pause and stop."""
    with start_prometheus() as started:
        yield started


@pytest.fixture(scope="module")
def shops(prometheus: PrometheusServer, request: pytest.FixtureRequest) -> Iterator[dict[str, Shop]]:
    """A shop for each test that wants one, all started at once: Prometheus takes seconds to find a new target."""
    tests = [item for item in request.session.items if "shop" in getattr(item, "fixturenames", ())]
    started = {item.name: Shop(prometheus, item.name) for item in tests if item.path == request.path}
    yield started
    for shop in started.values():
        prometheus.remove_targets(shop.job)
        shop.exporter.close()


@pytest.fixture
def shop(shops: dict[str, Shop], prometheus: PrometheusServer, request: pytest.FixtureRequest) -> Shop:
    shop = shops[request.node.name]
    prometheus.wait_for_target(shop.job)
    return shop


@pytest.fixture
async def source(prometheus: PrometheusServer) -> AsyncIterator[PrometheusSource]:
    async with PrometheusSource(prometheus.url) as made:
        yield made


async def ask(source: PrometheusSource, question: Question) -> Answer:
    return (await source.ask([question], datetime.now(UTC)))[question]


async def ask_until(
    source: PrometheusSource,
    question: Question,
    wanted: Callable[[Answer], bool],
    *,
    meanwhile: Callable[[], object] = lambda: None,
    seconds: float = 20,
) -> Answer:
    until = time.monotonic() + seconds
    while True:
        meanwhile()
        answer = await ask(source, question)
        if wanted(answer):
            return answer
        assert time.monotonic() < until, f"still {answer}"
        await asyncio.sleep(0.25)


def latest(answer: Answer, variant: str = "on") -> float | None:
    series = answer.series_of(variant) if isinstance(answer, Answered) else None
    return series.values[-1] if series and series.values else None


async def test_no_traffic_is_no_data(shop: Shop, source: PrometheusSource) -> None:
    no_events = NoData("no data: there were no events")
    assert await ask_until(source, shop.ratio(), lambda answer: answer == no_events)
    assert await ask(source, shop.question('no_such_metric{job="JOB"}')) == NoData("Prometheus has no data")


async def test_traffic_without_any_error_series_is_zero_errors(shop: Shop, source: PrometheusSource) -> None:
    def serve() -> None:
        shop.requests.labels("on").inc(5)

    answer = await ask_until(source, shop.ratio(), lambda answer: latest(answer) is not None, meanwhile=serve)
    assert latest(answer) == 0.0
    assert latest(answer, "off") is None  # nobody got control: no data, where treatment has zero errors


async def test_errors_over_total_are_ratios_by_variant_with_their_events(shop: Shop, source: PrometheusSource) -> None:
    def serve() -> None:
        with shop.exporter.at_once:
            for variant, failed in (("on", 1), ("off", 0)):
                shop.requests.labels(variant).inc(10)
                shop.errors.labels(variant).inc(failed)

    for variant in ("on", "off"):
        shop.errors.labels(variant)
    answer = await ask_until(
        source,
        shop.ratio(window=10),
        lambda answer: (latest(answer) or 0) == pytest.approx(0.1, abs=0.01),
        meanwhile=serve,
        seconds=40,
    )
    assert latest(answer, "off") == 0.0
    assert isinstance(answer, Answered)
    assert all(series.weights[-1] > 10 for _, series in answer.by_variant)


async def test_a_quantile_of_nothing_is_nan_and_nan_is_no_data(shop: Shop, source: PrometheusSource) -> None:
    shop.took.labels("on")
    nan = NoData("no data: the query yields NaN")
    assert await ask_until(source, shop.question(TOOK), lambda answer: answer == nan)

    def serve() -> None:
        shop.took.labels("on").observe(0.3)

    answer = await ask_until(source, shop.question(TOOK), lambda answer: answer != nan, meanwhile=serve)
    assert latest(answer) == pytest.approx(0.49, abs=0.02)  # interpolated in the bucket up to 0.5 s


async def test_several_series_for_one_variant_are_no_data_and_named(shop: Shop, source: PrometheusSource) -> None:
    for pod in ("a", "b"):
        shop.satisfaction.labels("on", pod).set(8)
    doubled = shop.question('satisfaction{job="JOB"}')
    expected = NoData("several series for the variant on: aggregate the query, such as sum by (variant) (...)")
    assert await ask_until(source, doubled, lambda answer: answer == expected)
    assert latest(await ask(source, shop.question('avg by (variant) (satisfaction{job="JOB"})'))) == 8.0
    alone = shop.question('avg(satisfaction{job="JOB"})')
    assert latest(await ask(source, alone), "") == 8.0


async def test_errors_that_are_not_told_apart_like_total_are_refused(shop: Shop, source: PrometheusSource) -> None:
    def serve() -> None:
        shop.requests.labels("on").inc()
        shop.errors.labels("on").inc()

    asked = shop.question(errors='sum(increase(errors_total{job="JOB"}[$window]))', total=REQUESTS)
    expected = NoData("errors and total differ in the label variant: aggregate both by it, or neither")
    assert await ask_until(source, asked, lambda answer: answer == expected, meanwhile=serve)


async def test_a_counter_reset_makes_no_errors_and_takes_none_away(shop: Shop, source: PrometheusSource) -> None:
    def serve() -> None:
        with shop.exporter.at_once:
            shop.requests.labels("on").inc(80)
            shop.errors.labels("on").inc(20)

    # Exactly so once both have been counted for a whole window: at the beginning, errors are younger than requests.
    exactly = pytest.approx(0.25, rel=1e-6)
    asked = shop.ratio(window=10)
    serve()
    answered = await ask_until(source, asked, lambda answer: latest(answer) == exactly, meanwhile=serve, seconds=60)
    port = shop.exporter.port
    shop.exporter.close()
    shop.start(port, errors=True)
    for _ in range(8):
        serve()
        answered = await ask(source, asked)
        ratio = latest(answered)
        assert ratio is None or ratio == exactly, answered
        await asyncio.sleep(0.5)
    assert isinstance(answered, Answered)


async def test_a_crashed_application_is_no_data_at_once(shop: Shop, source: PrometheusSource) -> None:
    shop.satisfaction.labels("on", "a").set(8)
    gauge = shop.question('satisfaction{job="JOB"}')
    await ask_until(source, gauge, lambda answer: latest(answer) == 8.0)
    shop.exporter.close()
    began = time.monotonic()
    await ask_until(source, gauge, lambda answer: answer == NoData("Prometheus has no data"))
    assert time.monotonic() - began < 5  # a failed scrape marks its series stale
    shop.start()


async def test_a_gap_in_scraping_is_a_gap_where_the_query_looks_over_the_window(
    own_prometheus: PrometheusServer,
) -> None:
    shop = Shop(own_prometheus, "gap")
    shop.satisfaction.labels("on", "a").set(8)
    own_prometheus.wait_for_target("gap")
    await asyncio.sleep(3)
    paused_at = time.time()
    own_prometheus.process.pause()
    await asyncio.sleep(7)
    own_prometheus.process.resume()
    resumed_at = time.time()
    over_window = shop.question('last_over_time(satisfaction{job="JOB"}[$window])', window=2, span=30)
    bare = shop.question('satisfaction{job="JOB"}', window=2, span=30)
    async with PrometheusSource(own_prometheus.url) as source:
        answered = await ask_until(source, over_window, lambda answer: _last_at(answer) > resumed_at)
        shown = await ask(source, bare)
    in_the_gap = (paused_at + 3, resumed_at - 1)
    assert _times_within(answered, in_the_gap) == []
    # A bare gauge shows its last value over the gap, unless Prometheus knows `lookback_delta` (after 2.42).
    knows_lookback = _version(own_prometheus) >= (2, 44)
    assert (_times_within(shown, in_the_gap) == []) == knows_lookback
    own_prometheus.remove_targets("gap")
    shop.exporter.close()


def _last_at(answer: Answer) -> float:
    series = answer.series_of("on") if isinstance(answer, Answered) else None
    return series.times[-1] if series else 0.0


def _times_within(answer: Answer, between: tuple[float, float]) -> list[float]:
    assert isinstance(answer, Answered), answer
    series = answer.series_of("on")
    assert series is not None
    return [at for at in series.times if between[0] < at < between[1]]


def _version(prometheus: PrometheusServer) -> tuple[int, ...]:
    (info,) = _scrape(prometheus, "prometheus_build_info")
    version = info.split(',version="')[1].split('"')[0].split("+")[0]
    return tuple(int(part) for part in version.split(".")[:2])


def _scrape(prometheus: PrometheusServer, start: str) -> list[str]:
    """Lines of Prometheus' own metrics, read without asking it a query."""
    with requests.Session() as session:
        session.trust_env = False
        text = session.get(f"{prometheus.url}/metrics", timeout=5).text
    return [line for line in text.splitlines() if line.startswith(start)]


def _requests_served(prometheus: PrometheusServer) -> int:
    lines = _scrape(prometheus, 'prometheus_http_requests_total{code="200",handler="/api/v1/query')
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)


async def test_rollouts_that_ask_the_same_share_one_request(
    own_prometheus: PrometheusServer,
) -> None:
    """Five rollouts, two rules each, due in one grid step: errors and total are one request, for the longest span."""
    objective = Question(Measurement(errors="vector(1)", total="vector(2)"), 30, 3600, 3600)
    rollback = Question(objective.measurement, 30, 7200, 3600)
    now = datetime(2026, 3, 2, 9, 0, 1, tzinfo=UTC)
    async with PrometheusSource(own_prometheus.url) as source:
        before = _requests_served(own_prometheus)
        answers = await asyncio.gather(
            *(source.ask([objective, rollback], now.replace(second=second)) for second in range(5))
        )
        later = await source.ask([objective], now.replace(second=50))
        assert _requests_served(own_prometheus) - before == 1
    assert {latest(answer, "") for answered in (*answers, later) for answer in answered.values()} == {0.5}


async def test_a_longer_span_is_cut_to_what_was_asked(own_prometheus: PrometheusServer) -> None:
    short, long = (Question(Measurement(query="vector(1)"), 30, span, 15) for span in (90, 600))
    async with PrometheusSource(own_prometheus.url) as source:
        answers = await source.ask([short, long], datetime.now(UTC))
    lengths = [
        len(series.times)
        for answer in answers.values()
        if isinstance(answer, Answered)
        for _, series in answer.by_variant
    ]
    assert sorted(lengths) == [7, 41]


async def test_a_query_that_prometheus_rejects_is_told_apart_and_its_detail_only_logged(
    own_prometheus: PrometheusServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with PrometheusSource(own_prometheus.url) as source:
        answer = await ask(source, Question(Measurement(query="rate(x{"), 30, 0, 15))
    assert answer == Unavailable("Prometheus rejects the query; the operator's log has the reason")
    assert "parse error" in caplog.text


async def test_a_long_query_is_answered(own_prometheus: PrometheusServer) -> None:
    long = " + ".join(["vector(1)"] * 1000)
    async with PrometheusSource(own_prometheus.url) as source:
        assert latest(await ask(source, Question(Measurement(query=long), 30, 60, 15)), "") == 1000.0


async def test_a_prometheus_that_hangs_is_unavailable_by_the_deadline_and_answers_after_it(
    own_prometheus: PrometheusServer,
) -> None:
    questions = [Question(Measurement(query=f"vector({value})"), 30, 0, 1) for value in range(40)]
    async with PrometheusSource(own_prometheus.url, deadline_seconds=4, concurrency=4) as source:
        own_prometheus.process.pause()
        try:
            began = time.monotonic()
            answers = await source.ask(questions, datetime.now(UTC))
            took = time.monotonic() - began
            began = time.monotonic()
            again = await source.ask(questions[:1], datetime.now(UTC))
            took_again = time.monotonic() - began
        finally:
            own_prometheus.process.resume()
        timeout = Unavailable("Prometheus did not answer in time")
        assert set(answers.values()) | set(again.values()) == {timeout}
        assert took < 6
        assert took_again < 2  # it was not asked again: nobody waits for what is known to hang
        await ask_until(source, questions[7], lambda answer: latest(answer, "") == 7.0, seconds=15)


async def test_a_stopped_prometheus_is_unavailable_and_is_found_again(own_prometheus: PrometheusServer) -> None:
    one = Question(Measurement(query="vector(1)"), 30, 0, 1)
    async with PrometheusSource(own_prometheus.url) as source:
        own_prometheus.process.stop()
        answer = await ask(source, one)
        own_prometheus.restart()
        assert answer == Unavailable("Prometheus can't be reached")
        await ask_until(source, one, lambda answer: latest(answer, "") == 1.0, seconds=15)


async def test_a_fault_is_judged_pending_then_a_breach_and_its_end_a_pass(shop: Shop, source: PrometheusSource) -> None:
    spec = PilotRolloutSpec.model_validate(
        {
            "feature": {"flag": "f"},
            "interval": "1s",
            "indicators": [
                {
                    "name": "errors",
                    "errors": ERRORS.replace("JOB", shop.job),
                    "total": REQUESTS.replace("JOB", shop.job),
                    "window": "3s",
                }
            ],
            "objectives": [
                {"indicator": "errors", "objective": "< 5%", "judge": "threshold", "for": "4s", "onBreach": "rollback"}
            ],
            "steps": [{"name": "one", "users": 1}],
        }
    )
    (rule,) = read_rules(spec, {}, namespace="shop", name="search")
    for variant in ("on", "off"):
        shop.errors.labels(variant)
    story: list[str] = []

    async def live_until(verdict: str, *, failing: bool) -> None:
        until = time.monotonic() + 30
        while not story or story[-1] != verdict:
            assert time.monotonic() < until, story
            for variant in ("on", "off"):
                shop.requests.labels(variant).inc(20)
            shop.errors.labels("on").inc(10 if failing else 0)
            now = datetime.now(UTC)
            finding = judge(rule, (await source.ask([rule.question], now))[rule.question], now)
            if not story or story[-1] != finding.verdict:
                story.append(finding.verdict)
            await asyncio.sleep(0.25)

    await live_until("pass", failing=False)
    await live_until("breach", failing=True)
    await live_until("pass", failing=False)
    assert story[story.index("pass") :] == ["pass", "pending", "breach", "pass"]


@pytest.mark.parametrize(
    ("errors", "total"),
    [
        ("vector(1) # all of them", "vector(2) # a comment does not swallow the other half"),
        ("1", "vector(2)"),  # a scalar can't be joined with a vector: each is asked for itself
        ('label_replace(vector(1), "pilotage_part", "1", "", "")', "vector(2)"),
    ],
)
async def test_errors_and_total_that_travel_together_are_not_mixed_up(
    own_prometheus: PrometheusServer, errors: str, total: str
) -> None:
    asked = Question(Measurement(errors=errors, total=total), 30, 0, 15)
    async with PrometheusSource(own_prometheus.url) as source:
        assert latest((await source.ask([asked], datetime.now(UTC)))[asked], "") == 0.5
