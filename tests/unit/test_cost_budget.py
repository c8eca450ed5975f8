"""The condition BudgetForecastOK by a tenant's account."""

from typing import Any

import pytest

from pilotage.resources.tenant import TenantQuota
from pilotage.tenancy.standing import findings_of


def told(cost: dict[str, Any], account: dict[str, str] | None) -> tuple[str, str]:
    status = {"cost": account} if account is not None else {}
    tenant = TenantQuota.model_validate({"metadata": {"name": "a"}, "spec": {"cost": cost}, "status": status})
    found = findings_of(tenant, tenant.status, conflicts=(), failures=())
    (one,) = [each for each in found if each.type == "BudgetForecastOK"]
    return one.status, one.reason


@pytest.mark.parametrize(
    ("cost", "account", "expected"),
    [
        ({"budget": 100}, {"currency": "USD", "forecast": "90"}, ("True", "WithinBudget")),
        ({"budget": 100}, {"currency": "USD", "forecast": "110.5"}, ("False", "BudgetForecastExceeded")),
        ({"budget": 100}, {"currency": "USD"}, ("Unknown", "NoForecast")),
        ({"budget": "99.50"}, None, ("Unknown", "NoForecast")),
        ({}, {"currency": "USD", "forecast": "90"}, ("True", "NoBudget")),
    ],
)
def test_a_forecast_of_the_account_is_held_against_its_budget(
    cost: dict[str, Any], account: dict[str, str] | None, expected: tuple[str, str]
) -> None:
    assert told(cost, account) == expected
