"""Burn rates in the spec: how fast the service may spend its error budget while a rollout starts or goes on."""

from typing import Annotated

from pydantic import Field

from pilotage.resources.base import ATOMIC, IndicatorName, Model, Window
from pilotage.resources.bounds import Budget, Factor


class BurnWindows(Model):
    """Two windows in which the budget must not burn too fast; both have to, before it counts."""

    long: Window
    """long window: shows that it matters."""
    short: Window
    """short window: shows that it still goes on."""
    factor: Factor
    """factor of the rate at which the budget would last exactly for its period."""


class BurnRate(Model):
    """A gate on the error budget of the whole service, all variants together."""

    indicator: IndicatorName
    """indicator with errors and total (or good and total), counted in `$window`."""
    budget: Budget
    """budget is the share of events that may be bad, such as `0.1%` for an objective of 99.9%."""
    windows: Annotated[tuple[BurnWindows, ...], Field(min_length=1, max_length=4, json_schema_extra=ATOMIC)] = (
        BurnWindows(long="1h", short="5m", factor="14.4"),
        BurnWindows(long="6h", short="30m", factor=6),
    )
    """windows of which none may burn too fast; those of the SRE workbook if not given."""


BurnRates = Annotated[tuple[BurnRate, ...], Field(max_length=8, json_schema_extra=ATOMIC)]
