"""Observer: what the operator would have seen at each moment, from a history, followed as the operator follows it."""

import asyncio
from collections.abc import Collection, Coroutine, Hashable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from pilotage.backtest.arms import change_of, split_for
from pilotage.backtest.history import History
from pilotage.backtest.quick import plain_verdict
from pilotage.judging.evidence import Answer, Answered, Evidence, Question, Stage
from pilotage.judging.incidents import Incident
from pilotage.judging.inference.noise import NoiseProfile
from pilotage.judging.objective import UNKNOWN_SHARE, SequentialRule
from pilotage.judging.rules import Rule
from pilotage.judging.threshold import ThresholdRule
from pilotage.metrics.following import Followed, follow
from pilotage.resources.rollout import Feature, PilotRollout
from pilotage.resources.status import PilotRolloutStatus
from pilotage.rollout.admission import User
from pilotage.rollout.capacity_seen import AMPLE
from pilotage.rollout.decide import needs_judging
from pilotage.rollout.judgement import judged, population_of
from pilotage.rollout.plan import Plan
from pilotage.rollout.situation import Seen
from pilotage.rollout.staging import profiles_of, stage_of

_T = TypeVar("_T")
_KNOWN = (ThresholdRule, SequentialRule)
"""Kinds of rules whose verdicts depend on answers and on what was followed alone."""


@dataclass
class Records:
    """Answers from a history, as it is or split into two healthy arms.

    Attributes:
        history: what Prometheus knows.
        feature: whose variants the arms are; None where the history is taken as it is.
        share: of the counts that treatment gets; set before each judgement.
        whole: questions that are always about the service as it was.
    """

    history: History
    feature: Feature | None = None
    share: float = 1.0
    whole: frozenset[Question] = frozenset()

    async def ask(self, questions: Collection[Question], now: datetime) -> dict[Question, Answer]:
        """The answer to each question as of `now`; it never waits."""
        return {question: self.answer(question, now) for question in questions}

    def answer(self, question: Question, now: datetime) -> Answer:
        """The answer to one question."""
        if self.feature is None or question in self.whole:
            return self.history.answer(question, now.timestamp())
        split = split_for(question, self.feature, self.share)
        return self.history.answer(question, now.timestamp(), key=split.key, change=change_of(split))


@dataclass
class Shared:
    """What replays of one history tell each other, so that nothing is judged twice.

    Attributes:
        gists: by number of the rule or rules, share and moment.
        same: each distinct gist once: there are few.
        numbers: of rules; to hash them costs more than to judge them.
    """

    gists: dict[tuple[int, float | None, datetime], Hashable] = field(default_factory=dict)
    same: dict[Hashable, Hashable] = field(default_factory=dict)
    numbers: dict[Hashable, int] = field(default_factory=dict)

    def number(self, what: Hashable) -> int:
        """The number of a rule, or of rules."""
        return self.numbers.setdefault(what, len(self.numbers))


@dataclass
class Watcher:
    """Sees for one replay; what can be told again for another one is kept in `shared`.

    Attributes:
        records: who is asked.
        users: of the directory; None without one.
        incidents: that concerned the rollout, as they are known now.
        shared: what rules said that know nothing but the moment.
    """

    records: Records
    users: tuple[User, ...] | None = None
    incidents: tuple[Incident, ...] = ()
    shared: Shared = field(default_factory=Shared)
    _followed: Followed = field(default_factory=Followed)
    _rules: tuple[Rule, ...] = ()
    _numbers: tuple[int, ...] = ()
    _known: bool = False
    _sequential: tuple[SequentialRule, ...] = ()
    _looked_at: PilotRolloutStatus | None = None
    _stage: tuple[PilotRolloutStatus, Stage, Mapping[str, NoiseProfile]] | None = None

    def see(self, rollout: PilotRollout, plan: Plan, now: datetime) -> Seen:
        """What the operator's gatherer would have seen."""
        seen = Seen(users=self.users, capacity=AMPLE)
        if not needs_judging(rollout):
            return seen
        self._look_at(rollout, plan)
        population = (plan.population,) if plan.population else ()
        followed = self._follow(rollout, plan, now, {*plan.questions, *population})
        evidence = replace(followed.evidence, incidents=self._incidents(now))
        return judged(seen, plan, evidence, now, learned=followed.learned)

    def gist(self, rollout: PilotRollout, plan: Plan, now: datetime) -> Hashable:
        """The verdicts at a moment; None where only the whole evidence tells them, or noise is to be learned."""
        self._read(plan)
        if not needs_judging(rollout) or not self._known or self._learns(rollout, plan):
            return None
        self._look_at(rollout, plan)
        key = (self._numbers[0], self._share, now)
        found = self.shared.gists.get(key)
        if found is None:
            found = self.shared.gists[key] = self._gist(plan, now)
        sequential = self._sequential
        if not sequential:
            return found
        evidence = self._follow(rollout, plan, now, {rule.tail for rule in sequential}).evidence
        return found, tuple(
            (said.verdict, said.earliest) for said in (rule.judge(evidence, now) for rule in sequential)
        )

    def _read(self, plan: Plan) -> None:
        """What is asked of a plan at each judgement, found out once for each plan."""
        if self._rules is plan.rules and self._numbers:
            return
        self._rules = plan.rules
        self._numbers = (self.shared.number(plan.rules), *map(self.shared.number, plan.rules))
        self._known = all(isinstance(rule, _KNOWN) for rule in plan.rules)
        self._sequential = tuple(rule for rule in plan.rules if isinstance(rule, SequentialRule))

    @property
    def _share(self) -> float | None:
        return self.records.share if self.records.feature else None

    def _gist(self, plan: Plan, now: datetime) -> Hashable:
        asked: dict[Question, Answer] = {}
        numbered = zip(plan.rules, self._numbers[1:], strict=True)
        said = tuple(self._said(rule, n, asked, now) for rule, n in numbered if isinstance(rule, ThresholdRule))
        population = {plan.population: self.records.answer(plan.population, now)} if plan.population else {}
        gist = said, population_of(plan, population)
        return self.shared.same.setdefault(gist, gist)

    def _said(self, rule: ThresholdRule, number: int, asked: dict[Question, Answer], now: datetime) -> Hashable:
        """A rule's verdict and earliest time; the same for all shares where it judges no counts."""
        found = self.shared.gists.get((number, None, now)) or self.shared.gists.get((number, self._share, now))
        if found is not None:
            return found
        answer = asked.get(rule.question)
        if answer is None:
            answer = asked[rule.question] = self.records.answer(rule.question, now)
        said = self._verdict(rule, answer, now)
        share = self._share if _has_counts(answer) else None
        return self.shared.gists.setdefault((number, share, now), self.shared.same.setdefault(said, said))

    @staticmethod
    def _verdict(rule: ThresholdRule, answer: Answer, now: datetime) -> Hashable:
        plain = plain_verdict(rule, answer, now)
        if plain is not None:
            return plain, None
        found = rule.judge(Evidence({rule.question: answer}), now)
        return found.verdict, found.earliest

    def _incidents(self, now: datetime) -> tuple[Incident, ...]:
        """Those that had begun by then."""
        return tuple(incident for incident in self.incidents if incident.started_at <= now)

    def _look_at(self, rollout: PilotRollout, plan: Plan) -> None:
        """The share that the treatment has now; before the first step that which it will have then."""
        if self.records.feature is None or self._looked_at is rollout.status:
            return
        self._looked_at = rollout.status
        share = stage_of(rollout.status).share
        if share is None:
            share = first_share(rollout, plan) if rollout.status.step is None else None
        self.records.share = min(max(share or UNKNOWN_SHARE, 1e-6), 1.0)
        sequential = (rule for rule in plan.rules if isinstance(rule, SequentialRule))
        self.records.whole = frozenset(
            {rule.history for rule in sequential} | ({plan.population} if plan.population else set())
        )

    def _staged(self, status: PilotRolloutStatus) -> tuple[Stage, Mapping[str, NoiseProfile]]:
        """Where the rollout is and what was learned for it, read once from a status."""
        if self._stage is None or self._stage[0] is not status:
            self._stage = status, stage_of(status), profiles_of(status)
        return self._stage[1:]

    def _learns(self, rollout: PilotRollout, plan: Plan) -> bool:
        """Whether the service's noise is to be learned for the step."""
        self._read(plan)
        stage, profiles = self._staged(rollout.status)
        return stage.since is not None and any(rule.name not in profiles for rule in self._sequential)

    def _follow(self, rollout: PilotRollout, plan: Plan, now: datetime, questions: Collection[Question]) -> Followed:
        stage, profiles = self._staged(rollout.status)
        following = follow(
            self.records,
            plan.rules,
            questions,
            stage=stage,
            profiles=profiles,
            before=self._followed,
            now=now,
        )
        # Only where noise is learned does it wait, for a thread; all that is asked is here already.
        followed = asyncio.run(following) if self._learns(rollout, plan) else _result(following)
        self._followed = replace(followed, evidence=replace(followed.evidence, answers={}))
        return followed


def first_share(rollout: PilotRollout, plan: Plan) -> float | None:
    """The share of the first step, where it can be told."""
    step, population = plan.steps[0], rollout.spec.audience.population
    if step.share is not None:
        return float(step.share) if not step.cohorts else None
    users = population.users if population else None
    return step.users / users if step.users and users else None


def _has_counts(answer: Answer) -> bool:
    """Whether an answer depends on the share: only counts are split."""
    return isinstance(answer, Answered) and any(series.weights for _, series in answer.by_variant)


def knows_treatment(history: History, plan: Plan, feature: Feature) -> bool:
    """Whether the treatment has a series of its own at some moment of the range."""
    return any(history.has_variant(question, feature.treatment) for question in plan.questions)


def _result(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    coroutine.close()
    msg = "it waited"
    raise AssertionError(msg)
