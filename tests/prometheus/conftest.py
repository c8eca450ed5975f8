"""Clients of the Prometheus whose `url` a module's own fixture gives, with what that module has recorded in it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from pilotage.metrics.client import PrometheusClient
from pilotage.metrics.source import PrometheusSource


@pytest.fixture
def client(url: str) -> Iterator[PrometheusClient]:
    made = PrometheusClient(url)
    yield made
    made.close()


@pytest.fixture
async def source(url: str) -> AsyncIterator[PrometheusSource]:
    async with PrometheusSource(url) as made:
        yield made
