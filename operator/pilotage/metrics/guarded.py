"""A source of evidence that keeps one tenant's own queries to the tenant's series; templates ask as they are written.

What a template asks is known by its text, and everything else is guarded: a question that nobody thought of is kept to
the tenant's series, not let through.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from pilotage.judging.evidence import Answer, Measurement, Question, Unavailable
from pilotage.judging.questions import Resolved, resolve_indicators
from pilotage.metrics.following import Asks
from pilotage.metrics.guard import GuardError, Pairs, enforce
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout


@dataclass(frozen=True, slots=True)
class Guarded:
    """Asks for one rollout.

    Attributes:
        source: who answers.
        pairs: the matchers that are enforced.
        free: queries that are asked as they are.
    """

    source: Asks
    pairs: Pairs
    free: Collection[str]

    async def ask(self, questions: Collection[Question], now: datetime) -> dict[Question, Answer]:
        """The answer to each question as of `now`; that it can't be guarded is one."""
        sent: dict[Question, Question] = {}
        answers: dict[Question, Answer] = {}
        for question in questions:
            try:
                sent[question] = replace(question, measurement=self._kept(question.measurement))
            except GuardError as error:
                answers[question] = Unavailable(f"the operator rejects the query: it {error}")
        if sent:
            found = await self.source.ask(set(sent.values()), now)
            answers |= {question: found[asked] for question, asked in sent.items()}
        return answers

    def _kept(self, asked: Measurement) -> Measurement:
        if all(query in self.free for query in asked.queries):
            return asked
        return replace(
            asked,
            query=self._one(asked.query),
            errors=self._one(asked.errors),
            good=self._one(asked.good),
            total=self._one(asked.total),
            buckets=self._one(asked.buckets),
        )

    def _one(self, query: str) -> str:
        return enforce(query, self.pairs) if query else ""


def guarded(source: Asks, pairs: Pairs, rollout: PilotRollout, templates: Mapping[str, IndicatorTemplateSpec]) -> Asks:
    """The source for one rollout; the same source where no matchers are enforced."""
    return Guarded(source, pairs, _of_templates(rollout, templates)) if pairs else source


def _of_templates(rollout: PilotRollout, templates: Mapping[str, IndicatorTemplateSpec]) -> frozenset[str]:
    """The queries of the templates that the rollout names, with its names filled in."""
    meta, spec = rollout.metadata, rollout.spec
    known = resolve_indicators(spec, templates, namespace=meta.namespace, name=meta.name)
    free: set[str] = set()
    for indicator in spec.indicators:
        found = known[indicator.name]
        if indicator.template_ref is None or not isinstance(found, Resolved):
            continue
        free.update(found.measurement.queries)
        if found.history is not None and indicator.history is None:  # else the history is the rollout's own
            free.update(found.history.queries)
    return frozenset(free)
