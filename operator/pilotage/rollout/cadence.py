"""Cadence: at which moments a rollout is judged; the operator's clock and a backtest's keep the same one."""

import hashlib
import math

from pilotage.rollout.plan import Plan


def on_grid(wake_at: float, now: float, interval_seconds: float, phase_seconds: float = 0.0) -> float:
    """The last moment of the grid before `wake_at` that is still to come, else `wake_at` itself.

    The judgements of rollouts with the same interval and phase so fall on the same moments, and what they ask in common
    is asked once. It is never later than asked for: a hold that ends between two moments is ended on time.

    Args:
        wake_at: Unix seconds by which to judge.
        now: Unix seconds.
        interval_seconds: between two judgements.
        phase_seconds: of the grid, from the multiples of the interval on.
    """
    grid = math.floor((wake_at - phase_seconds) / interval_seconds) * interval_seconds + phase_seconds
    return grid if grid > now else wake_at


def phase_of(namespace: str, plan: Plan) -> float:
    """Where in the interval a namespace's rollouts with this plan are judged, in whole seconds.

    Namespaces have different moments, so that those that break at once do not wait for each other; the rollouts of one
    have the same, because their questions go in one request. Where questions have their moments, those count.
    """
    if any(question.has_its_moments for question in plan.questions):
        return 0.0
    digest = hashlib.blake2b(namespace.encode(), digest_size=4).digest()
    return float(int.from_bytes(digest) % max(1, int(plan.interval_seconds)))
