"""What a TenantQuota may say of cost: what the API server takes, and what it refuses with which words."""

import copy
import secrets
from pathlib import Path
from typing import Any

import pytest
import yaml

from pilotage.resources.tenant import TenantQuota
from testbed import Cluster
from tests.cluster.admission import apply, put, refusal, told

pytestmark = pytest.mark.usefixtures("crds")

FULL = yaml.safe_load((Path(__file__).parent / "data" / "tenant.yaml").read_text())


def tenant(changes: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = copy.deepcopy(FULL)
    made["metadata"]["name"] = f"test-{secrets.token_hex(4)}"
    for path, value in changes.items():
        put(made["spec"], path, value)
    return made


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a rate for nothing that is measured": (
        {"cost.rates.gpu-hours": "2.50"},
        "spec.cost.rates",
        "a rate must be for one of resources",
    ),
    "a meter of an unknown resource": (
        {"cost.meters.0.resource": "disk"},
        "spec.cost.meters",
        "a meter must be of one of resources",
    ),
    "a meter that is read from two places": (
        {"cost.meters.0.usage": {"templateRef": "storage"}},
        "spec.cost.meters",
        "or else say its usage",
    ),
    "a correction of no day": (
        {"cost.corrections.0.day": "2026-13-01"},
        "spec.cost.corrections[0].day",
        "write the day as YYYY-MM-DD",
    ),
    "a correction without a reason": ({"cost.corrections.0.reason": ""}, "reason", "at least 1 chars"),
    "a correction of a word": (
        {"cost.corrections.0.amount": "some"},
        "spec.cost.corrections[0].amount",
        "write an amount of money",
    ),
    "a price below zero": ({"cost.prices.0.price": -25}, "spec.cost.prices[0].price", "write an amount of money"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_cost_that_makes_no_sense_is_refused_with_field_and_remedy(cluster: Cluster, name: str) -> None:
    changes, field, words = REFUSED[name]
    said = refusal(cluster, "default", tenant(changes), "--dry-run=server")
    assert told(said, field, words), said


def test_rates_meters_prices_and_corrections_are_kept_as_they_are_written(cluster: Cluster) -> None:
    cost = TenantQuota.model_validate(apply(cluster, "default", tenant({}), "--dry-run=server")).spec.cost
    assert cost is not None
    assert dict(cost.rates) == FULL["spec"]["cost"]["rates"]
    assert cost.to_wire()["corrections"] == FULL["spec"]["cost"]["corrections"]
    assert [price.price for price in cost.prices] == [25, 0]
