"""The operator at scale, on a real API server, Prometheus and flag service.

python -m bench.operator                        everything that docs/performance.md tells (about 40 minutes)
python -m bench.operator breach --rollouts 200  all rollouts break at once: seconds until users are back
python -m bench.operator rest --rollouts 1000   all rollouts are completed: what they cost, and the start
python -m bench.operator judged                 all rollouts stand in a step, judged every 30 s
python -m bench.operator failover               the leader ends: seconds until another one leads
python -m bench.operator effect                 a flag is edited: milliseconds until an application has it
"""

import argparse
import asyncio
import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from bench import breach, effect, failover, rest
from bench.crowd import Crowd, connect
from bench.figures import Cost, Times, remember, write_page
from bench.traffic import Traffic, serve_traffic
from bench.world import Spent, World, start_world
from pilotage.controller.resting import RESYNC_SECONDS
from pilotage.kube import Kube

_PAGE = Path(__file__).parents[1] / "docs/performance.md"
_FILE = Path(__file__).parent / "figures.json"
_BREAKING, _CALM, _TEMPLATED = (200, 1_000), (1_000, 10_000), 2_000
_CALM_SECONDS = 180.0
_FIRST_LOOKS = "at rest, first ten minutes"

Found = list[Cost | Times]
Measure = Callable[[World, Kube, Crowd], Awaitable[Found]]


def main() -> None:
    """Start everything, measure, print."""
    arguments = _parse()
    print(f"{platform.machine()}, {_cores()} cores, Python {platform.python_version()}", flush=True)
    single = {
        "breach": measure_breach,
        "rest": measure_rest,
        "judged": measure_judged,
        "failover": measure_failover,
        "effect": measure_effect,
    }
    if arguments.what != "all":
        found = single[arguments.what](arguments)
        if arguments.write:
            _keep(found)
        return
    for what, sizes in (
        ("effect", (0,)),
        ("failover", (0,)),
        ("breach", _BREAKING),
        ("rest", _CALM),
        ("judged", _CALM),
    ):
        for size in sizes:
            arguments.rollouts = size
            _keep(single[what](arguments))


def _keep(found: Found) -> None:
    remember(_FILE, found)
    write_page(_FILE, _PAGE)


def measure_breach(arguments: argparse.Namespace) -> Found:
    """Breaches at several parts of the interval."""
    features = ["all"] if arguments.shared else _features(arguments.rollouts)
    with start_world() as world, serve_traffic(features) as traffic:
        _scrape(world, traffic)
        return asyncio.run(_breach(world, traffic, arguments))


async def _breach(world: World, traffic: Traffic, arguments: argparse.Namespace) -> Found:
    kube = await connect(world)
    crowd = Crowd(kube, arguments.rollouts, arguments.per_namespace)
    await crowd.enrol()
    rounds: list[breach.Breach] = []
    began_at = time.monotonic()
    specs = {name: breach.spec_of(name, "all" if arguments.shared else name, arguments.rule) for name in crowd.names}
    await crowd.create(specs)
    for number in range(arguments.rounds):
        if number:
            await breach.start_over(crowd, number + 1)
        await breach.settle(crowd)
        if not number:
            print(f"{arguments.rollouts} rollouts made and at 30 %: {time.monotonic() - began_at:.1f} s")
            judged = await breach.rest_at_30_percent(world, arguments.seconds)
            _print_spent("judged every 5 s", judged)
        rounds.append(await breach.break_all(world, crowd, traffic, phase=(number + 0.5) / arguments.rounds))
        print(f"round {number + 1}: verified {_quantiles(rounds[-1].verified)}", flush=True)
        _print_spent("  while taking back", rounds[-1].spent)
    decided = tuple(sorted(each for found in rounds for each in found.decided))
    verified = tuple(sorted(each for found in rounds for each in found.verified))
    never = sum(found.never for found in rounds)
    print(f"breach to decided:      {_quantiles(decided)}")
    print(f"breach to verified off: {_quantiles(verified)}")
    print(f"never taken back: {never}")
    await kube.close()
    note = f"{never} never; other work {statistics.mean(found.spent.others for found in rounds):z.2f} cores"
    return [
        Times(f"{arguments.rollouts:,} break at once: s until decided", decided, note),
        Times(f"{arguments.rollouts:,} break at once: s until verified off", verified, note),
        Cost.of("judged every 5 s, own queries", arguments.rollouts, judged),
    ]


def measure_rest(arguments: argparse.Namespace) -> Found:
    """A fresh start of completed rollouts, the first looks at them, and the time after that."""

    async def measure(world: World, kube: Kube, crowd: Crowd) -> Found:
        await rest.make_completed(world, kube, crowd)
        [first] = await _rest(world, _FIRST_LOOKS, arguments)
        await asyncio.sleep(RESYNC_SECONDS)
        calm = await rest.spend(world, _CALM_SECONDS)
        _print_spent("at rest", calm)
        return [first, Cost.of("at rest", arguments.rollouts, calm)]

    with start_world() as world:
        return asyncio.run(_with_crowd(world, arguments, measure))


def measure_judged(arguments: argparse.Namespace) -> Found:
    """Rollouts in a step, judged every 30 s; many of them by one template."""
    template = arguments.rollouts > _TEMPLATED

    async def measure(world: World, kube: Kube, crowd: Crowd) -> Found:
        await rest.make_judged(world, kube, crowd, template=template)
        return await _rest(world, f"judged every 30 s, {'one template' if template else 'own queries'}", arguments)

    with start_world(scrape_interval="10s") as world, serve_traffic(_features(arguments.rollouts)) as traffic:
        _scrape(world, traffic)
        return asyncio.run(_with_crowd(world, arguments, measure))


async def _with_crowd(world: World, arguments: argparse.Namespace, measure: Measure) -> Found:
    kube = await connect(world)
    crowd = Crowd(kube, arguments.rollouts, arguments.per_namespace)
    await crowd.enrol()
    found = await measure(world, kube, crowd)
    await kube.close()
    return found


async def _rest(world: World, what: str, arguments: argparse.Namespace) -> Found:
    found = await rest.measure(world, settle_seconds=45.0, seconds=max(60.0, arguments.seconds))
    print(f"{arguments.rollouts} rollouts, {what}: ready {found.ready_seconds:.1f} s after the start")
    _print_spent(what, found.spent)
    return [Cost.of(what, arguments.rollouts, found.spent, found.ready_seconds)]


def measure_failover(arguments: argparse.Namespace) -> Found:
    """The leader ends, by a crash and by itself."""
    with start_world() as world:
        found = failover.measure(world, arguments.rounds)
    for how, seconds in (("kill -9", found.crash), ("a clean exit", found.exit)):
        print(f"another leads after {how}: {_quantiles(seconds)}")
    return [
        Times("failover after kill -9, s", found.crash),
        Times("failover after a clean exit, s", found.exit),
    ]


def measure_effect(arguments: argparse.Namespace) -> Found:
    """Edits of a flag."""

    async def measure(world: World) -> tuple[float, ...]:
        async with await connect(world) as kube:
            return await effect.measure(world, kube, arguments.edits)

    with start_world() as world:
        found = asyncio.run(measure(world))
    print(f"edit of a flag to its effect: {_quantiles(found)} (ms)")
    return [Times("edit of a flag to its effect at an application, ms", found)]


def _scrape(world: World, traffic: Traffic) -> None:
    world.prometheus.set_targets("bench", [traffic.address])
    world.prometheus.wait_for_target("bench")


def _features(count: int) -> list[str]:
    return [f"feature-{number:05}" for number in range(count)]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    kinds = ("all", "breach", "rest", "judged", "failover", "effect")
    parser.add_argument("what", nargs="?", default="all", choices=kinds)
    parser.add_argument("--rollouts", type=int, default=200)
    parser.add_argument("--per-namespace", type=int, default=10, help="rollouts that share a namespace")
    parser.add_argument("--rounds", type=int, default=5, help="breaches, spread over the interval, or failovers")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long a quiet time is measured")
    parser.add_argument("--edits", type=int, default=200, help="of a flag")
    parser.add_argument("--shared", action="store_true", help="all ask Prometheus the same; else each its own")
    parser.add_argument("--rule", default="error_ratio > 1%", help="what takes users back (the window is 10 s)")
    parser.add_argument(
        "--write", action="store_true", help="write docs/performance.md; without a subject it always is"
    )
    return parser.parse_args()


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _quantiles(values: Sequence[float]) -> str:
    if not values:
        return "none"
    found = sorted(values)
    p95 = found[min(len(found) - 1, int(0.95 * len(found)))]
    return f"min {found[0]:.1f}, median {statistics.median(found):.1f}, p95 {p95:.1f}, max {found[-1]:.1f}"


def _print_spent(what: str, spent: Spent) -> None:
    requests = ", ".join(f"{method} {count:.0f}" for method, count in sorted(spent.requests.items())) or "none"
    print(
        f"{what}: {spent.cores:.1%} of a core, {spent.rss_bytes / 1e6:.0f} MB, API requests {requests} in"
        f" {spent.seconds:.0f} s, {spent.queries * 60 / spent.seconds:.0f} Prometheus queries a minute;"
        f" around it {spent.around:.1%}, other load {spent.others:.1%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
