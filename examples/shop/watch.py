"""Looks at the demo while it runs: what the clients saw, what the operator decided, what Prometheus measured."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

from examples.shop.story import Clients, Sight
from pilotage.kube import Kube
from pilotage.resources.rollout import PilotRollout

_TIMEOUT = aiohttp.ClientTimeout(total=5)
_ERRORS = (
    'sum by (variant) (increase(http_errors_total{{feature="{0}"}}[3s]))'
    ' / sum by (variant) (increase(http_requests_total{{feature="{0}"}}[3s]) > 0)'
)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts answer, as URLs without a slash at the end."""

    prometheus: str
    shop: str
    load: str


class Watcher:
    """Asks the parts of the demo, and turns the knobs of shop and load."""

    def __init__(self, kube: Kube, addresses: Addresses, session: aiohttp.ClientSession) -> None:
        self._kube = kube
        self._at = addresses
        self._session = session

    @classmethod
    def session(cls) -> aiohttp.ClientSession:
        """A session for `Watcher`; the caller closes it."""
        return aiohttp.ClientSession(timeout=_TIMEOUT, raise_for_status=True)

    async def sight(self, feature: str, namespace: str = "shop") -> Sight:
        """Look at a feature: the clients first, then the rollout of the same name (see `story.py` for why)."""
        async with self._session.get(f"{self._at.load}/seen") as answer:
            seen: Mapping[str, Any] = await answer.json()
        path = PilotRollout.path(namespace, feature)
        return Sight(Clients.from_wire(seen[feature]), PilotRollout.model_validate(await self._kube.get(path)))

    async def error_ratios(self, feature: str) -> dict[str, float]:
        """The share of failed requests in the last seconds by variant; without those that had no requests."""
        query = {"query": _ERRORS.format(feature)}
        async with self._session.get(f"{self._at.prometheus}/api/v1/query", params=query) as answer:
            result = (await answer.json())["data"]["result"]
        return {one["metric"].get("variant", ""): float(one["value"][1]) for one in result}

    async def send_users(self, rates: Mapping[str, float]) -> None:
        """Set how many visits a second each path gets."""
        async with self._session.post(f"{self._at.load}/rates", json=dict(rates)):
            pass

    async def break_treatment(self, feature: str, *, error_ratio: float) -> None:
        """Let the feature's treatment fail from now on."""
        async with self._session.post(f"{self._at.shop}/faults", json={"feature": feature, "error_ratio": error_ratio}):
            pass

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(self._session.close(), self._kube.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
