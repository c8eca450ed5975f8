"""The shop: a small HTTP service whose two features hang on OpenFeature flags, evaluated in this process.

    GET  /search?user=user-0001     semantic-search: the treatment understands what users mean
    GET  /checkout?user=user-0001   one-click-checkout: the treatment saves them a page
    GET  /metrics /healthz          for Prometheus, and for whoever waits until the flags are there
    POST /faults {"feature": "one-click-checkout", "error_ratio": 0.2, "latency_seconds": 0.3}
                                    makes a feature's treatment fail or slow down; zeros mend it

The flags come from Pilotage's flag service by the flagd provider in its in-process mode: a decision of the operator is
here within milliseconds, an evaluation asks nobody, and if the flag service is away the last rules stay in force.
"""

import argparse
import asyncio
import logging
import random
import time
from dataclasses import dataclass

from aiohttp import web
from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from examples.shop.flags import FlagSource, connect
from examples.shop.metrics import ShopMetrics
from examples.shop.users import User, make_users

FEATURES = {"/search": "semantic-search", "/checkout": "one-click-checkout"}
"""The flag behind each path."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a variant behaves.

    Attributes:
        seconds: how long it usually takes.
        error_ratio: how often it fails.
        conversion_ratio: how often it leads to an order.
        rating: what users think of it, 0 to 10.
    """

    seconds: float
    error_ratio: float
    conversion_ratio: float
    rating: float


MANNERS = {
    ("semantic-search", "off"): Manner(0.017, 0.0005, 0.080, 8.4),
    ("semantic-search", "on"): Manner(0.013, 0.0001, 0.105, 9.1),
    ("one-click-checkout", "off"): Manner(0.020, 0.0005, 0.300, 8.5),
    ("one-click-checkout", "on"): Manner(0.012, 0.0001, 0.360, 9.0),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a treatment: the share of requests that fail, and seconds that each takes longer."""

    error_ratio: float = 0.0
    latency_seconds: float = 0.0


class Shop:
    """The request handlers and what they share."""

    def __init__(self, users: tuple[User, ...], *, seed: int) -> None:
        self.metrics = ShopMetrics(FEATURES.values())
        self._contexts = {user.key: EvaluationContext(user.key, dict(user.attributes())) for user in users}
        self._flags = api.get_client()
        self._faults: dict[str, Fault] = {}
        self._dice = random.Random(seed)

    async def feature(self, request: web.Request) -> web.Response:
        """Serve one user with the variant that the flag says."""
        started_at = time.perf_counter()
        feature = FEATURES[request.path]
        user = request.query.get("user", "")
        context = self._contexts.get(user) or EvaluationContext(user)
        # A flag that is not there yet (no rollout so far) is an error to OpenFeature; it answers the default, as meant.
        treated = self._flags.get_boolean_value(feature, default_value=False, evaluation_context=context)
        variant = "on" if treated else "off"
        self.metrics.exposed(feature, variant, user)
        failed = await self._work(feature, variant)
        self.metrics.answered(feature, variant, seconds=time.perf_counter() - started_at, failed=failed)
        return web.json_response({"feature": feature, "variant": variant}, status=500 if failed else 200)

    async def _work(self, feature: str, variant: str) -> bool:
        """Take as long as this variant takes, and return whether it failed."""
        manner = MANNERS[feature, variant]
        fault = self._faults.get(feature, Fault()) if variant == "on" else Fault()
        await asyncio.sleep(manner.seconds * self._dice.lognormvariate(0, 0.25) + fault.latency_seconds)
        failed = self._dice.random() < max(manner.error_ratio, fault.error_ratio)
        if not failed:
            self._please(feature, variant, manner)
        return failed

    def _please(self, feature: str, variant: str, manner: Manner) -> None:
        if self._dice.random() < manner.conversion_ratio:
            self.metrics.converted(feature, variant)
        self.metrics.rated(feature, variant, min(10.0, self._dice.gauss(manner.rating, 0.5)))

    async def set_fault(self, request: web.Request) -> web.Response:
        """Break a feature's treatment, or mend it."""
        body = await request.json()
        feature = body["feature"]
        if feature not in FEATURES.values():
            raise web.HTTPBadRequest(text=f"feature: there is no {feature!r}; write one of {sorted(FEATURES.values())}")
        self._faults[feature] = Fault(float(body.get("error_ratio", 0)), float(body.get("latency_seconds", 0)))
        return web.json_response({"feature": feature})

    async def expose_metrics(self, _request: web.Request) -> web.Response:
        """Answer Prometheus."""
        return web.Response(body=self.metrics.exposition(), content_type="text/plain", charset="utf-8")

    async def health(self, _request: web.Request) -> web.Response:
        """Say that requests are served."""
        return web.Response(text="ok\n")

    def application(self) -> web.Application:
        """The routes."""
        made = web.Application()
        for path in FEATURES:
            made.router.add_get(path, self.feature)
        made.router.add_get("/metrics", self.expose_metrics)
        made.router.add_get("/healthz", self.health)
        made.router.add_post("/faults", self.set_fault)
        return made


def main() -> None:
    """Run the shop until it is told to stop."""
    parser = argparse.ArgumentParser(description="A shop whose features hang on OpenFeature flags.")
    parser.add_argument("--port", type=int, default=8080, help="port on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the shop's dice (default: %(default)s)")
    FlagSource.add_arguments(parser)
    arguments = parser.parse_args()
    # One line for each evaluation of a flag that does not exist yet would be a flood.
    logging.getLogger("openfeature").setLevel(logging.CRITICAL)
    connect(FlagSource.of(arguments))
    shop = Shop(make_users(), seed=arguments.seed)
    web.run_app(shop.application(), host="127.0.0.1", port=arguments.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
