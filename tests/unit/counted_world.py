"""A Prometheus that a test plays: counts by scrape step and variant, some stored late, some never, and outages.

It answers a question as Prometheus does for `increase` over windows that overlap by a scrape: each point stands for its
step, scaled up to the window.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pilotage.judging.evidence import Answer, Answered, NoData, Question, Series, Stage, Unavailable
from pilotage.judging.inference.noise import NoiseProfile
from pilotage.judging.objective import SequentialRule
from pilotage.judging.reading import readable_rules
from pilotage.metrics.following import Followed, follow
from pilotage.resources.status import Finding
from tests.builders import make_rollout

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
STEP = 15.0

Counts = Mapping[str, tuple[float, float]]
"""Requests and errors by variant; a variant that is missing was not scraped."""


COUNTED: Mapping[str, object] = {
    "errors": "sum by (variant) (increase(e[$window]))",
    "total": "sum by (variant) (increase(r[$window]))",
}


def rules_of(
    *objectives: Mapping[str, object], interval: str = "15s", indicator: Mapping[str, object] | None = None
) -> list[SequentialRule]:
    """The sequential rules of these objectives; `errors < 1%` if nothing is said."""
    builder = make_rollout().indicator("errors", **(indicator or COUNTED)).step(percent=10, hold="1h")
    objectives = objectives or ({},)
    builder.with_spec(
        interval=interval,
        objectives=[
            {"indicator": "errors", "objective": "< 1%", "onBreach": "rollback", **each} for each in objectives
        ],
    )
    rules, wrong = readable_rules(builder.obj().spec, {}, namespace="shop", name="search")
    if wrong:
        raise wrong[0]
    return [rule for rule in rules if isinstance(rule, SequentialRule)]


@dataclass
class CountedWorld:
    """What happened in each step, by its number from START on (negative: before it)."""

    counts: Callable[[int], Counts]
    late: Mapping[int, int] = field(default_factory=dict)
    """By how many steps the scrape of a step is stored late."""
    out: Callable[[Question, int], Answer | None] = lambda _question, _step: None
    """What is answered instead of the truth."""
    asked: list[Question] = field(default_factory=list)

    async def ask(self, questions: Collection[Question], now: datetime) -> dict[Question, Answer]:
        """As `PrometheusSource` does."""
        self.asked += questions
        present = number_of(now.timestamp())
        return {question: self.out(question, present) or self._answer(question, now) for question in questions}

    def _answer(self, question: Question, now: datetime) -> Answer:
        end, present = question.end_at(now.timestamp()), number_of(now.timestamp())
        found: dict[str, list[tuple[float, float, float]]] = {}
        for back in range(question.steps, -1, -1):
            at = end - back * question.step_seconds
            for variant, (total, errors) in self._increase(at, question, present).items():
                if total > 0:
                    found.setdefault(variant, []).append((at, errors / total, total))
        if not found:
            return NoData("no data: there were no events")
        return Answered(tuple((name, Series(*zip(*points, strict=True))) for name, points in sorted(found.items())))

    def _increase(self, at: float, question: Question, present: int) -> dict[str, tuple[float, float]]:
        """What `increase` says of the window that ends there."""
        last, count = number_of(at + 1), round(question.step_seconds / STEP)
        scale = question.window_seconds / question.step_seconds
        sums: dict[str, tuple[float, float]] = {}
        for number in range(last - count + 1, last + 1):
            if number + self.late.get(number, 0) > present:
                continue
            for variant, (requests, errors) in self.counts(number).items():
                known = sums.get(variant, (0.0, 0.0))
                sums[variant] = (known[0] + requests * scale, known[1] + errors * scale)
        return sums


def number_of(timestamp: float) -> int:
    """The last step that has ended."""
    return int((timestamp - START.timestamp()) // STEP)


def moment(step: float) -> datetime:
    """When a step ends."""
    return START + timedelta(seconds=step * STEP)


@dataclass
class Operator:
    """Judges a rollout again and again, with what it remembers."""

    world: CountedWorld
    rules: list[SequentialRule]
    stage: Stage = field(default_factory=lambda: Stage("few", START, 0.1))
    profiles: dict[str, NoiseProfile] = field(default_factory=dict)
    before: Followed = field(default_factory=Followed)

    async def judge(self, step: float) -> list[Finding]:
        """At the end of a step; what was learned is kept as in status."""
        now = moment(step)
        questions = {question for rule in self.rules for question in rule.questions}
        self.before = await follow(
            self.world,
            self.rules,
            questions,
            stage=self.stage,
            profiles=self.profiles,
            before=self.before,
            now=now,
        )
        self.profiles |= self.before.learned
        return [rule.judge(self.before.evidence, now) for rule in self.rules]

    async def only(self, step: float) -> Finding:
        """The finding of the only rule."""
        [finding] = await self.judge(step)
        return finding

    def restarted(self) -> "Operator":
        """Another process: it knows what status knows."""
        return Operator(self.world, self.rules, self.stage, dict(self.profiles))


def calm(number: int) -> Counts:
    """Twenty requests a second, a tenth of them treatment's, 0.1 % errors now and then."""
    return {"on": (30.0, 0.0), "off": (270.0, 1.0 if number % 4 == 0 else 0.0)}


OUTAGE = Unavailable("Prometheus can't be reached")
