"""Golden transcripts: the pilots of `examples/` on a virtual clock, weeks and months as text that a person can read.

`make test` compares; `UPDATE_GOLDEN=1 .venv/bin/pytest tests/golden` writes them anew, to be read before committed.
"""

import os
from collections.abc import Callable, Mapping
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
    document["metadata"] |= {"namespace": "shop", "uid": "golden", "generation": 1}
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
}


def test_semantic_search_in_a_shop_takes_eight_weeks() -> None:
    events: list[Event] = [
        (8.0, 8.2, "p95", 0.047),  # above the warning: holds, rolls nothing back
        (35.0, 36.5, "satisfaction", None),  # the survey is down when the step could end
    ]
    pilot = Simulation(rollout("semantic-search/rollout.yaml"), world(SHOP, *events), templates())
    compare("semantic-search", pilot.run(timedelta(days=80), pace=timedelta(hours=4)).transcript())


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
    "incidents": 0.0,
    "open_vulnerabilities": 0.0,
    "db_connection_failures": 0.001,
    "churn": 0.01,
    "peak_load": 0.55,
}


def customers() -> tuple[User, ...]:
    """900 enterprise customers, 600 of partners, 3,500 of the public."""
    tiers = ["enterprise"] * 900 + ["partner"] * 600 + ["public"] * 3500
    return tuple(User(f"customer-{n:04}", {"tier": tier}) for n, tier in enumerate(tiers))


@pytest.mark.timeout(240)
def test_the_roadmap_takes_a_year_from_ten_users_to_everybody() -> None:
    signal = world(
        ASSISTANT,
        (60, 61, "open_vulnerabilities", 1.0),  # a critical vulnerability is found and closed
        (150, 152, "satisfaction", 8.2),  # breaks the 60 days that the assessment asks for
        (262, 263, "peak_load", 0.91),  # users are shed while load lasts
    )
    pilot = Simulation(rollout("roadmap/rollout.yaml"), signal, templates(), users=customers())
    compare("roadmap", pilot.run(timedelta(days=420), pace=timedelta(hours=12)).transcript())


@pytest.mark.timeout(240)
def test_the_roadmap_steps_back_when_support_is_overwhelmed() -> None:
    pilot = Simulation(
        rollout("roadmap/rollout.yaml"), world(ASSISTANT, (215, 215.5, "tickets", 71.0)), templates(), users=customers()
    )
    compare("roadmap-steps-back", pilot.run(timedelta(days=230), pace=timedelta(hours=12)).transcript())
