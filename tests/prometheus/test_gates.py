"""Lifts, burn rates, assignments and scores, asked of a real Prometheus over recorded series."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilotage.judging.evidence import Evidence, Stage
from pilotage.metrics.source import PrometheusSource
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import PilotRolloutStatus
from pilotage.rollout.judgement import judged
from pilotage.rollout.plan import read_plan
from pilotage.rollout.situation import Seen
from testbed.history import History, prometheus_with_history
from tests.builders import make_rollout

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
T = NOW.timestamp()
SCRAPE = 15
BACK = 4 * 3600
STAGE_SECONDS = 2 * 3600

pytestmark = pytest.mark.cluster("prometheus")

PER_SCRAPE = {("visits", "on"): 100, ("visits", "off"): 200, ("orders", "on"): 13, ("orders", "off"): 20}


def counter(added: Callable[[int], float]) -> list[tuple[float, float]]:
    """Scrapes of a counter; what is added by each is told by its seconds before NOW."""
    total, found = 1e6, []
    for back in range(BACK, -1, -SCRAPE):
        total += added(back)
        found.append((T - back, total))
    return found


def changed(before: float, now: float) -> Callable[[int], float]:
    """What each scrape adds before the step began, and since."""
    return lambda back: now if back < STAGE_SECONDS else before


def record(history: History) -> None:
    for (name, variant), many in PER_SCRAPE.items():
        # Before the step began, everybody ordered: what is counted of that would show.
        before = 100 if name == "orders" else many
        history.add(f"{name}_total", counter(changed(before, many)), variant=variant)
    for variant, requests in (("on", 10), ("off", 90)):
        history.add("requests_total", counter(changed(requests, requests)), variant=variant)
    # For an hour, all requests of a tenth of the users fail: a tenth of all.
    history.add("failures_total", counter(lambda back: 10 if back < 3600 else 0), variant="on")
    history.add("failures_total", counter(lambda _: 0), variant="off")
    for variant, users in (("on", 560), ("off", 440)):
        history.add("exposed_users", [(T - back, users) for back in range(600, -1, -SCRAPE)], variant=variant)
    history.add("satisfaction", [(T - back, 8.5) for back in range(600, -1, -SCRAPE)])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with prometheus_with_history() as (prometheus, history):
        record(history)
        history.write()
        yield prometheus.url


def counts(good: str, total: str, *, as_errors: bool = False) -> dict[str, Any]:
    queries = (f"sum by (variant) (increase({name}_total[$window]))" for name in (good, total))
    return dict(zip(("errors" if as_errors else "good", "total"), queries, strict=True))


def pilot(**spec: Any) -> PilotRollout:
    made = make_rollout().step("half", percent=50, hold="1h").step("all", percent=100).with_spec(interval="15s", **spec)
    made.indicator("conversions", **counts("orders", "visits"))
    made.indicator("errors", **counts("failures", "requests", as_errors=True))
    made.indicator("exposed", query="sum by (variant) (exposed_users)", unit="count")
    made.indicator("satisfaction", query="avg(satisfaction)", unit="score").indicator("gone", query="nothing")
    return made.obj()


async def look(url: str, rollout: PilotRollout, *, share: float = 0.5) -> Seen:
    """What the operator would see in the middle of the step."""
    plan = read_plan(rollout, {})
    assert plan.problem is None
    async with PrometheusSource(url) as source:
        answers = await source.ask(plan.questions, NOW)
    stage = Stage("half", NOW - timedelta(seconds=STAGE_SECONDS), share)
    return judged(Seen(), plan, Evidence(answers, stage), NOW)


async def test_a_lift_counts_what_happened_since_the_step_began_and_nothing_twice(url: str) -> None:
    seen = await look(url, pilot(go=["lift(conversions) > 10% significant"]))
    (found,) = seen.findings
    # 30%, of all scrapes of the step but those of the step of the query in which it began.
    scrapes = STAGE_SECONDS // SCRAPE - 2
    assert found.value == "30%"
    assert f"({13 * scrapes:,} of {100 * scrapes:,} with on, {20 * scrapes:,} of {200 * scrapes:,} with off)" in (
        found.message
    )
    assert found.verdict == "pass"


async def test_a_loss_that_is_ruled_out_lets_go_on(url: str) -> None:
    seen = await look(url, pilot(rollback=["lift(conversions) < -5% significant"]))
    assert [found.verdict for found in seen.findings] == ["pass"]


@pytest.mark.parametrize(
    ("budget", "factor", "verdict"), [("1%", "9.5", "breach"), ("1%", "10.5", "pass"), ("0.5%", "14.4", "breach")]
)
async def test_a_burn_rate_is_that_of_the_whole_service(url: str, budget: str, factor: str, verdict: str) -> None:
    windows = [{"long": "1h", "short": "5m", "factor": factor}]
    seen = await look(url, pilot(burnRates=[{"indicator": "errors", "budget": budget, "windows": windows}]))
    (found,) = seen.findings
    assert found.verdict == verdict
    assert float(found.value.removesuffix("x")) == pytest.approx(0.1 / float(budget.removesuffix("%")) * 100, rel=0.01)


@pytest.mark.parametrize(("share", "verdict"), [(0.56, "pass"), (0.3, "breach")])
async def test_users_are_compared_with_the_admitted_share(url: str, share: float, verdict: str) -> None:
    rollout = pilot(audience={"assignment": {"indicator": "exposed"}})
    seen = await look(url, rollout, share=share)
    assert [(found.role, found.verdict, found.value) for found in seen.findings] == [("assignment", verdict, "56%")]


async def test_a_score_is_made_of_what_has_data(url: str) -> None:
    inputs = [
        {"indicator": "satisfaction", "weight": 60, "worst": 0, "best": 10},
        {"indicator": "gone", "weight": 40, "worst": 0, "best": 10},
    ]
    rollout = pilot(
        scores=[{"name": "customer", "acceptable": 8, "inputs": inputs}], go=["score(customer) >= 8 for 5m"]
    )
    seen = await look(url, rollout)
    (score,) = seen.scores
    assert (score.value, score.rating) == ("8.5", "acceptable")
    assert score.message == "no data for gone; the others count for the whole"
    (found,) = seen.findings
    assert found.verdict == "pass", found.message
    assert PilotRolloutStatus(scores=seen.scores).to_wire()["scores"][0]["inputs"][1] == {
        "indicator": "gone",
        "value": "",
        "points": "",
        "weight": "",
    }
