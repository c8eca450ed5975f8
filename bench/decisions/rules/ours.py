"""The judge of Pilotage: the operator's own code, asked after every scrape as the operator asks it.

Per stage a profile is learned from the history at the stage's share, and what was counted since the rollout began is
judged by it. `anew` forgets at each stage what was counted before. Without a history the judge's own fallback is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from bench.decisions.clock import STAGES, STEP_SECONDS
from bench.decisions.score import StageEnds
from bench.decisions.worlds import NEVER, Counts, Runs
from pilotage.judging.inference.noise import NoiseProfile, fallback, learn
from pilotage.judging.inference.sequential import START, ScrapeStep, Settings, advance, least_requests, verdict_of

SETTINGS = Settings(objective_ratio=0.01)
STEPS_PER_HOUR = 3600 // STEP_SECONDS
Profiles: TypeAlias = tuple[NoiseProfile, ...]


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of runs: the step of the rollback of each, and what the stage ends were like."""

    steps: Counts
    ends: StageEnds


def learn_profiles(history: Sequence[tuple[float, float] | None]) -> Profiles:
    """One profile a stage, learned at the share of that stage."""
    return tuple(learn(history, share=share, settings=SETTINGS, steps_per_hour=STEPS_PER_HOUR) for share, _ in STAGES)


def without_history() -> Profiles:
    """What the judge knows of a service that it has no history of."""
    return tuple(fallback(SETTINGS) for _ in STAGES)


def judge(runs: Runs, profiles: Profiles, *, anew: bool = False) -> Decided:
    """Judge runs, one after the other."""
    judged = [judge_run(steps, profiles, anew=anew) for steps in rollouts(runs)]
    return Decided(np.array([step for step, _ in judged]), sum((ends for _, ends in judged), StageEnds()))


def judge_run(steps: Sequence[ScrapeStep | None], profiles: Profiles, *, anew: bool) -> tuple[int, StageEnds]:
    """Step at whose end a run is rolled back, and its stage ends until then."""
    at, ends = 0, StageEnds()
    for (_, length), profile in zip(STAGES, profiles, strict=True):
        state = START if anew else advance(SETTINGS, profile, steps[:at])
        outcome, requests = "pass", 0.0
        for step in range(at, at + length):
            seen = steps[step]
            state = advance(SETTINGS, profile, (seen,), state)
            outcome = verdict_of(SETTINGS, profile, state).outcome
            if outcome == "rollback":
                return step, ends
            requests += seen.requests if seen else 0
        at += length
        ends += StageEnds(1, int(outcome == "hold"), int(requests < least_requests(SETTINGS, profile)))
    return NEVER, ends


def rollouts(runs: Runs) -> list[list[ScrapeStep | None]]:
    """The runs as the judge reads them; None where the scrape was lost."""
    columns = (runs.requests, runs.errors, runs.control_requests, runs.control_errors)
    counts = np.stack(columns, axis=2).astype(float).tolist()
    return [
        [ScrapeStep(*step) if seen else None for step, seen in zip(steps, present, strict=True)]
        for steps, present in zip(counts, runs.seen.tolist(), strict=True)
    ]
