"""Spreads the work over processes: first the histories are learned from, then every rule judges every world.

The rollouts of a world come in parts of 25. All rollouts of a part have the same history, other parts have others.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TypeVar

from bench.decisions.rules import PEERS, ours
from bench.decisions.score import Score, score
from bench.decisions.worlds import World, draw, draw_history

PART = 25
OURS = "Pilotage"
ANEW = "Pilotage, evidence anew in each stage"
WITHOUT_HISTORY = "Pilotage, no history"
RULES = (*PEERS, OURS)
VARIANTS = (ANEW, WITHOUT_HISTORY)

Work = TypeVar("Work")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Learning:
    """One history to learn from.

    Args:
        world: Any world of the service.
        index: Which history of that service.
        seed: What everything is drawn from.
    """

    world: World
    index: int
    seed: int


@dataclass(frozen=True, slots=True)
class Judging:
    """Some rollouts of a world to judge.

    Args:
        world: Where they happen.
        part: Which part of the world's rollouts.
        runs: How many they are.
        seed: What everything is drawn from.
        rules: Names of the rules that judge.
        profiles: What was learned from the part's history, if a rule needs it.
    """

    world: World
    part: int
    runs: int
    seed: int
    rules: tuple[str, ...]
    profiles: ours.Profiles = ()


def measure(worlds: Sequence[World], rules: Sequence[str], *, runs: int, seed: int, jobs: int) -> list[Score]:
    """Let rules judge rollouts of worlds; scores are in the order of worlds, then rules."""
    parts = [(index, min(PART, runs - start)) for index, start in enumerate(range(0, runs, PART))]
    learned: dict[tuple[str, int], ours.Profiles] = {}
    if {OURS, ANEW} & set(rules):
        services = {world.service: world for world in worlds}.values()
        lessons = [Learning(world, index, seed) for world in services for index, _ in parts]
        for lesson, profiles in spread("learning", learn, lessons, jobs):
            learned[lesson.world.service, lesson.index] = profiles
    tasks = [
        Judging(world, index, count, seed, tuple(rules), learned.get((world.service, index), ()))
        for world in worlds
        for index, count in parts
    ]
    sums: dict[tuple[World, str], Score] = {}
    for _, scores in spread("judging", judge, tasks, jobs):
        for one in scores:
            key = (one.world, one.rule)
            sums[key] = sums[key] + one if key in sums else one
    return [sums[world, rule] for world in worlds for rule in rules]


def learn(lesson: Learning) -> ours.Profiles:
    """Draw a history and learn each stage's profile from it."""
    return ours.learn_profiles(draw_history(lesson.world, lesson.seed, lesson.index))


def judge(task: Judging) -> list[Score]:
    """Draw rollouts and let every rule judge them."""
    runs = draw(task.world, task.runs, task.seed, task.part)
    scores = []
    for rule in task.rules:
        if rule in PEERS:
            scores.append(score(task.world, rule, runs.onsets, PEERS[rule](runs)))
            continue
        profiles = ours.without_history() if rule == WITHOUT_HISTORY else task.profiles
        decided = ours.judge(runs, profiles, anew=rule == ANEW)
        scores.append(score(task.world, rule, runs.onsets, decided.steps, decided.ends))
    return scores


def spread(
    what: str, work: Callable[[Work], Result], tasks: Sequence[Work], jobs: int
) -> Iterator[tuple[Work, Result]]:
    """Do tasks in processes of their own (or in this one, for one job), in any order, and tell the progress."""
    began = time.monotonic()
    if jobs == 1:
        for done, task in enumerate(tasks, 1):
            yield task, work(task)
            tell(what, done, len(tasks), began)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(work, task): task for task in tasks}
        for done, future in enumerate(as_completed(futures), 1):
            yield futures[future], future.result()
            tell(what, done, len(tasks), began)


def tell(what: str, done: int, of: int, began: float) -> None:
    """Write how far it is on one line of standard error, about every hundredth."""
    if done % max(1, of // 100) and done != of:
        return
    seconds = time.monotonic() - began
    print(f"\r{what}: {done} of {of}, {seconds:.0f} s", end="\n" if done == of else "", file=sys.stderr, flush=True)
