"""The operator at scale, on a real API server, Prometheus and flag service.

python -m bench.operator breach --rollouts 200    all rollouts break at once: seconds until users are back
python -m bench.operator rest --rollouts 10000    all rollouts are completed: what they cost, and the start
"""

import argparse
import asyncio
import os
import platform
import statistics
import time
from collections.abc import Sequence

from bench import breach, rest
from bench.crowd import Crowd, connect
from bench.traffic import Traffic, serve_traffic
from bench.world import Spent, World, start_world


def main() -> None:
    """Start everything, measure, print."""
    arguments = _parse()
    print(f"{platform.machine()}, {_cores()} cores, Python {platform.python_version()}", flush=True)
    with start_world() as world:
        if arguments.what == "rest":
            asyncio.run(measure_rest(world, arguments))
            return
        features = ["all"] if arguments.shared else [f"feature-{number:05}" for number in range(arguments.rollouts)]
        with serve_traffic(features) as traffic:
            world.prometheus.set_targets("bench", [traffic.address])
            world.prometheus.wait_for_target("bench")
            asyncio.run(measure_breach(world, traffic, arguments))


async def measure_breach(world: World, traffic: Traffic, arguments: argparse.Namespace) -> None:
    """Breaches at several parts of the interval."""
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
            _print_spent("judged every 5 s", await breach.rest_at_30_percent(world, arguments.seconds))
        phase = (number + 0.5) / arguments.rounds
        rounds.append(await breach.break_all(world, crowd, traffic, phase=phase))
        print(f"round {number + 1}: verified {_quantiles(rounds[-1].verified)}", flush=True)
        _print_spent("  while taking back", rounds[-1].spent)
    print(f"breach to decided:      {_quantiles([each for found in rounds for each in found.decided])}")
    print(f"breach to verified off: {_quantiles([each for found in rounds for each in found.verified])}")
    print(f"never taken back: {sum(found.never for found in rounds)}")
    await kube.close()


async def measure_rest(world: World, arguments: argparse.Namespace) -> None:
    """A fresh start, and the time after it."""
    kube = await connect(world)
    crowd = Crowd(kube, arguments.rollouts, arguments.per_namespace)
    await crowd.enrol()
    await rest.complete_all(world, kube, crowd)
    await rest.copy_flags(kube, crowd)
    found = await rest.measure(world, settle_seconds=15.0, seconds=arguments.seconds)
    print(f"{arguments.rollouts} rollouts completed: ready {found.ready_seconds:.1f} s after the start")
    _print_spent("first 15 s", found.start)
    _print_spent("at rest", found.spent)
    await kube.close()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("breach", "rest"))
    parser.add_argument("--rollouts", type=int, default=200)
    parser.add_argument("--per-namespace", type=int, default=10, help="rollouts that share a namespace")
    parser.add_argument("--rounds", type=int, default=5, help="breaches, spread over the interval")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long a quiet time is measured")
    parser.add_argument("--shared", action="store_true", help="all ask Prometheus the same; else each its own")
    parser.add_argument("--rule", default="error_ratio > 1%", help="what takes users back (the window is 10 s)")
    return parser.parse_args()


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _quantiles(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    found = sorted(seconds)
    p95 = found[min(len(found) - 1, int(0.95 * len(found)))]
    return f"min {found[0]:.1f}, median {statistics.median(found):.1f}, p95 {p95:.1f}, max {found[-1]:.1f} s"


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
