"""The users at work: visits the shop as each of its users in turn, and records what they saw.

All users come in a shuffled order that stays the same, so that everybody is back after `users / rate` seconds.

    POST /rates {"/search": 430, "/checkout": 0}   visits a second, by path
    GET  /seen                                     what the users saw, by feature (see `seen.py`)
    GET  /metrics                                  how many of them have each treatment, for Prometheus
"""

import argparse
import asyncio
import random
import time
from collections.abc import AsyncIterator
from itertools import cycle

import aiohttp
from aiohttp import web

from examples.shop.seen import Seen
from examples.shop.service import FEATURES
from examples.shop.users import make_users

_TICK_SECONDS = 0.02
_TIMEOUT = aiohttp.ClientTimeout(total=5)
_MOST_AT_ONCE = 200


class Crowd:
    """The users, their visits, and what they saw."""

    def __init__(self, shop_url: str, *, rate: float, seed: int) -> None:
        self._shop_url = shop_url
        users = [user.key for user in make_users()]
        random.Random(seed).shuffle(users)
        self._rates = dict.fromkeys(FEATURES, rate)
        self._turns = {path: cycle(users) for path in FEATURES}
        self._seen = {feature: Seen() for feature in FEATURES.values()}
        self._visits: set[asyncio.Task[None]] = set()

    async def play(self) -> None:
        """Send visits at the rates that are set, until cancelled."""
        owed = dict.fromkeys(FEATURES, 0.0)
        before = time.monotonic()
        async with aiohttp.ClientSession(self._shop_url, timeout=_TIMEOUT) as session:
            while True:
                await asyncio.sleep(_TICK_SECONDS)
                before, passed = time.monotonic(), time.monotonic() - before
                for path, rate in self._rates.items():
                    # What a slow machine could not send in time is forgone, not sent in a burst.
                    owed[path] = min(owed[path] + rate * passed, rate * 5 * _TICK_SECONDS)
                    while owed[path] >= 1 and len(self._visits) < _MOST_AT_ONCE:
                        owed[path] -= 1
                        self._send(session, path)

    def _send(self, session: aiohttp.ClientSession, path: str) -> None:
        visit = asyncio.create_task(self._visit(session, path, next(self._turns[path])))
        self._visits.add(visit)
        visit.add_done_callback(self._visits.discard)

    async def _visit(self, session: aiohttp.ClientSession, path: str, user: str) -> None:
        seen = self._seen[FEATURES[path]]
        try:
            async with session.get(path, params={"user": user}) as response:
                variant = (await response.json())["variant"]
                seen.answer(user, variant, failed=response.status >= 500, at=time.time())  # noqa: PLR2004 - HTTP's own
        except (aiohttp.ClientError, TimeoutError):
            seen.unanswered += 1

    async def set_rates(self, request: web.Request) -> web.Response:
        """Take new rates."""
        wanted = await request.json()
        if unknown := wanted.keys() - FEATURES.keys():
            raise web.HTTPBadRequest(text=f"no such path: {sorted(unknown)}; write some of {sorted(FEATURES)}")
        self._rates.update({path: float(rate) for path, rate in wanted.items()})
        return web.json_response(self._rates)

    async def show_seen(self, _request: web.Request) -> web.Response:
        """Tell what the users saw."""
        return web.json_response({feature: seen.to_wire() for feature, seen in self._seen.items()})

    async def expose_metrics(self, _request: web.Request) -> web.Response:
        """Answer Prometheus; the numbers are few enough to be written by hand."""
        lines = ["# HELP treated_users Users whose last answer was the treatment.", "# TYPE treated_users gauge"]
        lines += [f'treated_users{{feature="{name}"}} {len(seen.inside)}' for name, seen in self._seen.items()]
        return web.Response(text="\n".join(lines) + "\n")

    async def running(self, _application: web.Application) -> AsyncIterator[None]:
        """Play as long as the control endpoint is there."""
        playing = asyncio.create_task(self.play())
        yield
        playing.cancel()

    def application(self) -> web.Application:
        """The control endpoint."""
        made = web.Application()
        made.router.add_post("/rates", self.set_rates)
        made.router.add_get("/seen", self.show_seen)
        made.router.add_get("/metrics", self.expose_metrics)
        made.cleanup_ctx.append(self.running)
        return made


def main() -> None:
    """Play the users until told to stop."""
    parser = argparse.ArgumentParser(description="Visit the shop as its users do.")
    parser.add_argument("--shop", default="http://127.0.0.1:8080", help="the shop's URL (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8081, help="control port on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=0.0, help="visits a second on each path (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the order of visits (default: %(default)s)")
    arguments = parser.parse_args()
    crowd = Crowd(arguments.shop, rate=arguments.rate, seed=arguments.seed)
    web.run_app(crowd.application(), host="127.0.0.1", port=arguments.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
