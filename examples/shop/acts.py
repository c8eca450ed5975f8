"""Tells the story: brings about what has to happen, shows it, and checks it by `story.py`."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from examples.shop.screen import Row, Screen
from examples.shop.stage import Stage
from examples.shop.story import Chapter, Sight, seconds_to_last_answer
from examples.shop.users import COUNT
from examples.shop.watch import Watcher

SEARCH, CHECKOUT = "semantic-search", "one-click-checkout"
ERROR_RATIO = 0.2
STEPS_BEFORE_FAULT = 3

_BUSY, _QUIET = 430.0, 60.0
"""Visits a second: at 430, each of the 3,000 users is back after 7 s, as if everybody came once a week."""

_LOOK_EVERY_SECONDS = 0.4
_COMPLETED_SECONDS = 110.0
_LIMITED_SECONDS = 40.0
_TAKEN_BACK_SECONDS = 35.0
_ROUND_SECONDS = 16.0
_LAST_SCRAPE_SECONDS = 1.5
"""So that Prometheus knows the end of the story too."""


class StoryError(Exception):
    """The story did not happen; the message says what went otherwise."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the broken chapter measured, in seconds, from the clients' side where clients are named.

    Attributes:
        fault_at: when the treatment began to fail.
        everybody_at: when each user who had it had come back and got control.
        to_decision: from the fault to the operator's decision.
        to_last_answer: from the fault to the last answer with the treatment that any client got.
        to_everybody: from the fault until each user who had it came back and got control.
        users: how many users had the treatment when it began to fail.
    """

    fault_at: datetime
    everybody_at: datetime
    to_decision: float
    to_last_answer: float
    to_everybody: float
    users: int


@dataclass(slots=True)
class Teller:
    """Plays the acts and keeps the chapters."""

    stage: Stage
    watcher: Watcher
    screen: Screen
    chapters: dict[str, Chapter] = field(default_factory=dict)

    async def let_search_out(self) -> None:
        """A healthy feature goes from ten users to everybody.

        Raises:
            StoryError: it did not.
        """
        self.screen.chapter("Semantic search goes to 10, 20, 35 and 50 users, to 30 %, to everybody")
        await self.watcher.send_users({"/search": _BUSY, "/checkout": 0})
        self._apply(SEARCH)
        await self._follow(SEARCH, lambda sight: sight.rollout.status.phase == "Completed", _COMPLETED_SECONDS)
        sight = await self._follow(SEARCH, lambda sight: sight.clients.inside == COUNT, _ROUND_SECONDS, strict=False)
        self.chapters[SEARCH].end_completed(sight)
        self._raise_problems()
        self.screen.say(f"all {sight.clients.inside:,} users have semantic search; nobody lost it on the way", "green")

    async def let_checkout_break(self) -> Measured:
        """A feature breaks when 30 % of the users have it, and is taken back.

        Raises:
            StoryError: it was not.
        """
        self.screen.chapter("One-click checkout goes to 50 users, 10 % and 30 %; then it breaks")
        await self.watcher.send_users({"/search": _QUIET, "/checkout": _BUSY})
        self._apply(CHECKOUT)
        sight = await self._follow(CHECKOUT, _is_at_its_height, _LIMITED_SECONDS)
        users, fault_at = sight.clients.inside, datetime.now(UTC)
        await self.watcher.break_treatment(CHECKOUT, error_ratio=ERROR_RATIO)
        text = f"now the treatment starts to fail: {ERROR_RATIO:.0%} errors for {users} users"
        self.screen.say(text, "bold red")
        sight = await self._follow(CHECKOUT, _is_back, _TAKEN_BACK_SECONDS, strict=False)
        everybody_at = datetime.now(UTC)
        await asyncio.sleep(_LAST_SCRAPE_SECONDS)
        self.chapters[CHECKOUT].end_taken_back(sight, steps=STEPS_BEFORE_FAULT, fault_at=fault_at)
        self._raise_problems()
        return _measure(sight, fault_at, everybody_at, users)

    def _apply(self, feature: str) -> None:
        self.chapters[feature] = Chapter(COUNT)
        self.screen.say(f"$ kubectl apply -f examples/shop/manifests/{feature}.yaml")
        self.screen.say(self.stage.apply(f"{feature}.yaml"))

    async def _follow(
        self, feature: str, until: Callable[[Sight], bool], seconds: float, *, strict: bool = True
    ) -> Sight:
        """Look at all features until this one is where it should be.

        Args:
            feature: the one that matters.
            until: whether it is there.
            seconds: how long to wait.
            strict: raise when the time is over, in place of returning the last sight.
        """
        ends_at = time.monotonic() + seconds
        while True:
            self.stage.check()
            sights = {name: await self._look(name) for name in self.chapters}
            self._raise_problems()
            if until(sights[feature]):
                return sights[feature]
            if time.monotonic() > ends_at:
                if strict:
                    raise StoryError(_late(feature, sights[feature], seconds))
                return sights[feature]
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def _look(self, feature: str) -> Sight:
        sight = await self.watcher.sight(feature)
        chapter = self.chapters[feature]
        chapter.look(sight)
        for entry in chapter.take_news():
            self.screen.decision(feature, entry, sight.clients.inside)
        errors: Mapping[str, float] = await self.watcher.error_ratios(feature)
        self.screen.show(Row(feature, sight, errors))
        return sight

    def _raise_problems(self) -> None:
        problems = [f"{name}: {problem}" for name, chapter in self.chapters.items() for problem in chapter.problems]
        if problems:
            raise StoryError("; ".join(problems))


def _is_at_its_height(sight: Sight) -> bool:
    """Whether the last step before the fault is in force, and all of its users have come and seen it."""
    status = sight.rollout.status
    if status.step is None or status.step.index != STEPS_BEFORE_FAULT - 1 or status.exposure is None:
        return False
    return status.step.verified_time is not None and sight.clients.inside == status.exposure.users


def _is_back(sight: Sight) -> bool:
    return sight.rollout.status.phase == "RolledBack" and sight.clients.inside == 0


def _late(feature: str, sight: Sight, seconds: float) -> str:
    status = sight.rollout.status
    where = status.summary.step if status.summary else "no step"
    return f"{feature} is not where it should be after {seconds:.0f} s: {status.phase} in {where}: {status.message}"


def _measure(sight: Sight, fault_at: datetime, everybody_at: datetime, users: int) -> Measured:
    rollback, back = sight.rollout.status.rollback, seconds_to_last_answer(sight)
    if rollback is None or back is None:
        raise StoryError("there is no rollback to measure")
    to_decision = (rollback.decided_time - fault_at).total_seconds()
    return Measured(
        fault_at, everybody_at, to_decision, to_decision + back, (everybody_at - fault_at).total_seconds(), users
    )
