"""Criteria over days, asked of a real Prometheus by one range query and folded by the clocks of the rollout's zone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pilotage.judging.evidence import Answer
from pilotage.judging.threshold import ThresholdRule
from pilotage.metrics.source import PrometheusSource
from pilotage.resources.status import Finding
from testbed.history import History, prometheus_with_history
from tests.builders import judge, make_rollout, read_rules

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 4, 2, 9, 20, tzinfo=UTC)  # clocks were put forward on March 29th
SCRAPE = timedelta(minutes=5)

pytestmark = pytest.mark.cluster("prometheus")


def record(history: History) -> None:
    """Twelve days of a score that is bad all March 28th in Berlin, and of requests that fail at night."""
    moments = [NOW - step * SCRAPE for step in range(12 * 24 * 12, -1, -1)]
    # A scrape at midnight sharp speaks of the minutes before it.
    local = [(moment, (moment - timedelta(seconds=1)).astimezone(BERLIN)) for moment in moments]
    history.add("satisfaction", [(at.timestamp(), 1.0 if day.day == 28 else 9.0) for at, day in local])
    # Windows overlap by a minute: the first of four hours still sees the scrape at its beginning.
    gone = [(at.timestamp(), 9.0) for at, day in local if not (day.day == 29 and 10 <= day.hour < 14)]
    history.add("gappy", gone)
    busy = [(at.timestamp(), 100.0 if 8 <= day.hour < 20 else 1.0) for at, day in local]
    history.add("requests", busy)
    history.add("failures", [(at, 0.0 if count > 1 else 0.5) for at, count in busy])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with prometheus_with_history() as (prometheus, history):
        record(history)
        history.write()
        yield prometheus.url


def rule(criterion: str, **indicator: str) -> ThresholdRule:
    builder = make_rollout().indicator("x", **indicator).step(percent=100)
    (made,) = read_rules(builder.with_spec(timeZone="Europe/Berlin", interval="1m", go=[criterion]).obj().spec, {})
    return made


async def judged(url: str, criterion: str, **indicator: str) -> Finding:
    made = rule(criterion, **indicator)
    async with PrometheusSource(url) as source:
        answer: Answer = (await source.ask([made.question], NOW))[made.question]
    return judge(made, answer, NOW)


async def test_a_streak_begins_at_a_local_midnight_and_counts_the_day_of_23_hours(url: str) -> None:
    finding = await judged(url, "x >= 8 for 7d", query="avg_over_time(satisfaction[$window])", unit="score")
    assert (finding.verdict, finding.message) == ("pending", "x 9 >= 8 (held 4d of 7d)")
    assert finding.since == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert finding.earliest == datetime(2026, 4, 4, 22, tzinfo=UTC)
    finding = await judged(url, "x >= 8 for 4d", query="avg_over_time(satisfaction[$window])", unit="score")
    assert (finding.verdict, finding.message) == ("pass", "x 9 >= 8 (held 4d)")


async def test_a_day_that_lacks_hours_is_named_with_its_own_length(url: str) -> None:
    finding = await judged(url, "x >= 8 for 7d", query="avg_over_time(gappy[$window])", unit="score")
    assert finding.verdict == "no-data"
    assert "no data for 1 of 7 days: 2026-03-29 (20 of 23 h) (held 3d of 7d)" in finding.message


async def test_a_days_ratio_weighs_its_hours_by_their_events(url: str) -> None:
    """Half of the few requests at night fail: 6 of 1,212, where the mean of the hours would be a quarter."""
    counted = {
        "errors": "sum(sum_over_time(failures[$window]))",
        "total": "sum(sum_over_time(requests[$window]))",
    }
    finding = await judged(url, "x < 1% for 7d", **counted)
    assert finding.verdict == "pass"
    assert finding.value == "0.5%"
