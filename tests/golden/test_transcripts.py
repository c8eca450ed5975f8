"""Golden transcripts: the pilots of `examples/` on a virtual clock, weeks and months as text that a person can read.

`make test` compares; `UPDATE_GOLDEN=1 .venv/bin/pytest tests/golden` writes them anew, to be read before committed.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from pilotage.judging.evidence import Unavailable
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout
from pilotage.rollout.admission import User
from tests.simulation import Simulation

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent
DAY = 86400.0
HOUR = 3600.0

Event = tuple[float, float, str, float | None]
"""From and to (in days), the indicator, and the value it has then (None: no data)."""


def templates() -> dict[str, IndicatorTemplateSpec]:
    documents = yaml.safe_load_all((ROOT / "examples/roadmap/templates.yaml").read_text())
    return {d["metadata"]["name"]: IndicatorTemplateSpec.model_validate(d["spec"]) for d in documents}


def rollout(path: str) -> PilotRollout:
    document = yaml.safe_load((ROOT / "examples" / path).read_text())
    author = {"pilotage.dev/changed-by": "release-bot"}
    document["metadata"] |= {"namespace": "shop", "uid": "golden", "generation": 1, "annotations": author}
    return PilotRollout.model_validate(document)


def world(usual: Mapping[str, float], *events: Event) -> Callable[[str, float], float | None]:
    """Values that are as usual, but for events."""

    def signal(indicator: str, at: float) -> float | None:
        for begin, end, name, value in events:
            if name == indicator and begin * DAY <= at < end * DAY:
                return value
        return usual.get(indicator)

    return signal


def compare(name: str, transcript: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(transcript)
    assert transcript == path.read_text()


SHOP = {
    "availability": 0.9997,
    "error_ratio": 0.0004,
    "p95": 0.041,
    "p99": 0.078,
    "critical_incidents": 0.0,
    "search_success": 0.86,
    "zero_results": 0.11,
    "satisfaction": 4.3,
    "conversions treatment": 0.0475,
    "conversions control": 0.038,
}


def test_semantic_search_in_a_shop_takes_eight_weeks() -> None:
    events: list[Event] = [
        (8.0, 8.2, "p95", 0.047),  # above the warning: holds, rolls nothing back
        (35.0, 36.5, "satisfaction", None),  # the survey is down when the step could end
    ]
    pilot = Simulation(rollout("semantic-search/rollout.yaml"), world(SHOP, *events), templates())
    compare("semantic-search", pilot.run(timedelta(days=80), pace=timedelta(hours=4)).transcript())


def test_semantic_search_that_sells_no_more_is_not_ready() -> None:
    signal = world({**SHOP, "conversions treatment": 0.038})
    pilot = Simulation(rollout("semantic-search/rollout.yaml"), signal, templates())
    status = pilot.run(timedelta(days=52), pace=timedelta(hours=12)).replay.rollout.status
    assert (status.phase, status.step and status.step.name) == ("Holding", "week-6")
    assert status.readiness is not None
    assert status.readiness.state == "NotReady"
    [blocker] = status.readiness.blockers
    assert blocker.startswith(
        "lift(conversions) > 10% significant: not met yet (lift(conversions) 0%, certainly between -"
    )
    assert status.readiness.warnings == ()


def test_semantic_search_breaks_in_the_fourth_week_and_is_taken_back() -> None:
    signal = world(SHOP, (23.21, 24, "error_ratio", 0.031))
    pilot = Simulation(rollout("semantic-search/rollout.yaml"), signal, templates())
    pilot.run(timedelta(days=23), pace=timedelta(hours=12))
    compare("semantic-search-breaks", pilot.run(timedelta(days=1)).transcript())


def test_a_fast_iteration_takes_two_weeks_and_waits_for_prometheus() -> None:
    pilot = Simulation(rollout("semantic-search/fast.yaml"), world(SHOP), templates())
    pilot.run(timedelta(days=6, hours=20), pace=timedelta(minutes=30))
    pilot.outage = Unavailable("Prometheus can't be reached")
    pilot.run(timedelta(hours=12), pace=timedelta(minutes=30))
    pilot.outage = None
    compare("fast-iteration", pilot.run(timedelta(days=10), pace=timedelta(minutes=30)).transcript())


ASSISTANT = {
    "availability": 0.9996,
    "error_ratio": 0.0003,
    "p95": 0.42,
    "mttr": 110.0,
    "satisfaction": 8.9,
    "completion": 0.97,
    "adoption": 0.9,
    "retention": 0.95,
    "cost_per_request": 0.014,
    "tickets": 1.0,
    "open_vulnerabilities": 0.0,
    "db_connection_failures": 0.001,
    "churn": 0.01,
    "peak_load": 0.55,
    "revenue_per_user": 22.0,
    "roi": 0.12,
    "team_confidence": 8.6,
    "load_tested_users": 500.0,
    "resource_efficiency": 0.91,
    "lifetime_value": 420.0,
}


def customers() -> tuple[User, ...]:
    """900 enterprise customers, 600 of partners, 3,500 of the public; a fifth of them near the primary region."""
    tiers = ["enterprise"] * 900 + ["partner"] * 600 + ["public"] * 3500
    regions = ("us-east-1", "us-west-2", "eu-central-1", "eu-west-1", "ap-south-1")
    return tuple(User(f"customer-{n:04}", {"tier": tier, "region": regions[n % 5]}) for n, tier in enumerate(tiers))


MONTH_4 = (("vera", "engineering"), ("paul", "product"), ("sue", "security"), ("fay", "finance"))
MONTH_6 = (
    *((name, "executives") for name in ("carl", "cora", "chen")),
    *((name, "departments") for name in ("dan", "dora", "dina", "dirk")),
)
ATTESTED = (("mara", "demand"), ("mara", "differentiation"), ("dora", "differentiation"), ("sam", "support"))


def agree(pilot: Simulation, day: float, gate: str, people: Iterable[tuple[str, str]]) -> None:
    """All of these people approve a gate, on one day."""
    for by, role in people:
        pilot.decide(day, by, "proceed", gate=gate, role=role)


@pytest.mark.timeout(400)
def test_the_roadmap_takes_a_year_from_ten_users_to_everybody() -> None:
    signal = world(
        ASSISTANT,
        (60, 61, "open_vulnerabilities", 1.0),  # a critical vulnerability is found and closed
        (150, 152, "satisfaction", 8.2),  # breaks the 60 days that the assessment asks for
        (0, 90, "roi", 0.0),  # is validated in month 3
        (262, 263, "peak_load", 0.91),  # users are shed while load lasts
    )
    pilot = Simulation(rollout("roadmap/rollout.yaml"), signal, templates(), users=customers())
    pilot.decide(117, "vera", "proceed", gate="month-4", role="engineering", reason="the team is ready to go on")
    pilot.decide(118, "sue", "proceed", gate="month-4", role="security", reason="the audit found nothing")
    reason = "cost per request is known for three weeks only"
    pilot.decide(119, "fay", "extend", gate="month-4", role="finance", extendBy="14d", reason=reason)
    agree(pilot, 133, "month-4", MONTH_4)
    pilot.decide(212, "release-bot", "proceed", gate="month-6", role="departments", reason="it is green")
    agree(pilot, 213, "attested", ATTESTED)
    agree(pilot, 214, "month-6", MONTH_6)
    compare("roadmap", pilot.run(timedelta(days=420), pace=timedelta(hours=12)).transcript())


@pytest.mark.timeout(240)
def test_the_roadmap_steps_back_when_support_is_overwhelmed() -> None:
    pilot = Simulation(
        rollout("roadmap/rollout.yaml"), world(ASSISTANT, (215, 215.5, "tickets", 71.0)), templates(), users=customers()
    )
    agree(pilot, 115, "month-4", MONTH_4)  # while the step before still runs
    agree(pilot, 174, "attested", ATTESTED)
    agree(pilot, 175, "month-6", MONTH_6)
    compare("roadmap-steps-back", pilot.run(timedelta(days=230), pace=timedelta(hours=12)).transcript())


@pytest.mark.timeout(240)
def test_the_roadmap_returns_to_development_when_nobody_agrees_in_time() -> None:
    pilot = Simulation(rollout("roadmap/rollout.yaml"), world(ASSISTANT), templates(), users=customers())
    agree(pilot, 115, "month-4", MONTH_4)
    agree(pilot, 180, "month-6", MONTH_6[:5])
    concern = "technical debt: the index can't be rebuilt without downtime yet"
    pilot.decide(230, "tina", "pause", reason=concern).decide(240, "tina", "resume", reason="it can now")
    compare("roadmap-returns", pilot.run(timedelta(days=300), pace=timedelta(hours=12)).transcript())
