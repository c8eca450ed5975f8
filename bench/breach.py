"""All rollouts break at once: seconds from the first failing request until users are seen to be back.

Rounds differ in when the errors begin within the interval at which rollouts are judged, so that no lucky moment is
measured. The time ends with `status.rollback.verifiedTime`: the flag service was seen to serve "off".
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bench.alike import is_judged_in_its_step
from bench.crowd import Crowd
from bench.traffic import BROKEN, HEALTHY, Traffic
from bench.world import Meter, Spent, World

INTERVAL_SECONDS = 5.0
_QUIET_SECONDS = 14.0
_GIVE_UP_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Breach:
    """One round.

    Attributes:
        decided: seconds from the first failing request to each decision.
        verified: the same until users were seen to be back.
        spent: from the first failing request to the last verification.
        never: how many were not taken back at all.
    """

    decided: tuple[float, ...]
    verified: tuple[float, ...]
    spent: Spent
    never: int


def spec_of(name: str, feature: str, rule: str) -> dict[str, Any]:
    """A rollout at 30 %, judged every 5 s by its own errors."""
    counted = f'sum by (variant) (increase(app_{{}}_total{{{{feature="{feature}"}}}}[$window]))'
    return {
        "feature": {"flag": name},
        "interval": f"{INTERVAL_SECONDS:.0f}s",
        "indicators": [
            {
                "name": "error_ratio",
                "errors": counted.format("errors"),
                "total": counted.format("requests"),
                "window": "10s",
            }
        ],
        "rollback": [rule],
        "steps": [{"name": "limited", "percent": 30, "hold": "7d"}],
    }


async def settle(crowd: Crowd) -> float:
    """Wait until all rollouts are judged at 30 % and pass; returns the seconds that it took."""
    began_at = time.monotonic()
    while time.monotonic() - began_at < _GIVE_UP_SECONDS:
        if all(is_judged_in_its_step(found.get("status", {})) for found in (await crowd.read()).values()):
            return time.monotonic() - began_at
        await asyncio.sleep(4)
    raise TimeoutError("not all rollouts came to 30 %")


async def rest_at_30_percent(world: World, seconds: float) -> Spent:
    """What judging costs while nothing happens."""
    meter = await asyncio.to_thread(Meter, world)
    await asyncio.sleep(seconds)
    return await asyncio.to_thread(meter.read)


async def break_all(world: World, crowd: Crowd, traffic: Traffic, *, phase: float) -> Breach:
    """Let all fail, at this part of the interval; wait until they are back, and start them over."""
    await asyncio.sleep(-(time.time() - phase * INTERVAL_SECONDS) % INTERVAL_SECONDS)
    meter = await asyncio.to_thread(Meter, world)
    await asyncio.sleep(-(time.time() - phase * INTERVAL_SECONDS) % INTERVAL_SECONDS)
    traffic.fail(BROKEN)
    failed_at = datetime.now(UTC)
    found = await _wait_until_back(world, crowd)
    spent = await asyncio.to_thread(meter.read)
    traffic.fail(HEALTHY)
    back = [status["rollback"] for each in found.values() if (status := each["status"]).get("rollback")]
    verified = [each for each in back if each.get("verifiedTime")]
    return Breach(
        decided=tuple(sorted(_seconds(failed_at, each["decidedTime"]) for each in back)),
        verified=tuple(sorted(_seconds(failed_at, each["verifiedTime"]) for each in verified)),
        spent=spent,
        never=len(found) - len(verified),
    )


async def start_over(crowd: Crowd, revision: int) -> None:
    """Give all rollouts a new revision of their feature, once the errors have left the window."""
    await asyncio.sleep(_QUIET_SECONDS)
    await crowd.merge({name: {"spec": {"feature": {"revision": revision}}} for name in crowd.names})


async def _wait_until_back(world: World, crowd: Crowd) -> dict[str, Any]:
    """Look at the operator's metrics until no rollout shows a step, so that reading them all is no part of the load."""
    began_at = time.monotonic()
    while time.monotonic() - began_at < _GIVE_UP_SECONDS:
        await asyncio.sleep(2)
        if not (await asyncio.to_thread(world.metrics)).get("pilotage_step_index"):
            break
    while True:
        found = await crowd.read()
        back = all((each["status"].get("rollback") or {}).get("verifiedTime") for each in found.values())
        if back or time.monotonic() - began_at > _GIVE_UP_SECONDS:
            return found
        await asyncio.sleep(4)


def _seconds(since: datetime, text: str) -> float:
    return (datetime.fromisoformat(text) - since).total_seconds()
