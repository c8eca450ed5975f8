"""Gathers a record: the rollout from Kubernetes, its indicators over time from Prometheus."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pilotage.judging.evidence import Answer, Answered, Measurement, NoData, Question, Series, Unavailable
from pilotage.judging.questions import Resolved, over, resolve_indicators
from pilotage.judging.reading import readable_rules
from pilotage.judging.rules import Rule
from pilotage.kube import Kube
from pilotage.reports.record import Bound, IndicatorRecord, Mark, RolloutRecord
from pilotage.resources.durations import parse_duration
from pilotage.resources.indicators import IndicatorTemplate, IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout

Ask = Callable[[Collection[Question], datetime], Awaitable[Mapping[Question, Answer]]]
"""How Prometheus is asked: `PrometheusSource.ask`."""

_ENDED = ("Completed", "RolledBack")
_MARGIN = 0.04
_LEAST_MARGIN_SECONDS = 2.0


async def collect(
    kube: Kube,
    ask: Ask,
    *,
    namespace: str,
    name: str,
    now: datetime,
    seen_query: str = "",
    marks: tuple[Mark, ...] = (),
) -> RolloutRecord:
    """Read one rollout and how its indicators went.

    Args:
        kube: the cluster.
        ask: Prometheus.
        namespace: of the rollout.
        name: of the rollout.
        now: the charts end here at the latest; they end soon after the last decision of a rollout that has ended.
        seen_query: PromQL that counts the users who had the treatment when they came last, where something does.
        marks: what else to show.

    Raises:
        KubeError: the rollout could not be read.
    """
    rollout = PilotRollout.model_validate(await kube.get(PilotRollout.path(namespace, name)))
    since, until = period_of(rollout, now, marks)
    templates = await _read_templates(kube) if any(i.template_ref for i in rollout.spec.indicators) else {}
    span = (until - since).total_seconds()
    # What makes no sense is left out: the record says itself, as Stalled, what is wrong with it.
    resolved = resolve_indicators(rollout.spec, templates, namespace=namespace, name=name).values()
    known = [one for one in resolved if isinstance(one, Resolved)]
    rules, _ = readable_rules(rollout.spec, templates, namespace=namespace, name=name)
    questions = {one.name: over(one, one.window_seconds, span) for one in known}
    seen = _seen_question(rollout, seen_query, span)
    answers = await ask([*questions.values(), *([seen] if seen else [])], until)
    return RolloutRecord(
        rollout=rollout,
        since=since,
        until=until,
        indicators=tuple(indicator_record(one, answers[questions[one.name]], rules) for one in known),
        seen=_series(answers[seen], rollout) if seen else None,
        marks=marks,
    )


def period_of(rollout: PilotRollout, now: datetime, marks: Sequence[Mark] = ()) -> tuple[datetime, datetime]:
    """What the charts show: from shortly before the first decision to shortly after the last one, or to now.

    What is marked is shown as well.
    """
    history = rollout.status.history
    created = rollout.metadata.creation_timestamp or now
    times = [*(entry.time for entry in history), *(mark.at for mark in marks)] or [created]
    first = min(times)
    last = max(times) if rollout.status.phase in _ENDED else now
    margin = timedelta(seconds=max((last - first).total_seconds() * _MARGIN, _LEAST_MARGIN_SECONDS))
    return first - margin, max(min(last + 2 * margin, now), first)


async def _read_templates(kube: Kube) -> dict[str, IndicatorTemplateSpec]:
    answer: dict[str, Any] = await kube.get(IndicatorTemplate.path())
    found = (IndicatorTemplate.model_validate(item) for item in answer.get("items", ()))
    return {template.metadata.name: template.spec for template in found}


def _seen_question(rollout: PilotRollout, query: str, span: float) -> Question | None:
    if not query:
        return None
    measured = Resolved("seen", "", Measurement(query), "count", 0.0, _interval_of(rollout))
    return over(measured, 2 * measured.interval_seconds, span)


def _interval_of(rollout: PilotRollout) -> float:
    return parse_duration(rollout.spec.interval)


def _series(answer: Answer, rollout: PilotRollout) -> Series | None:
    return answer.series_of(rollout.spec.feature.treatment) if isinstance(answer, Answered) else None


def indicator_record(one: Resolved, answer: Answer, rules: tuple[Rule, ...]) -> IndicatorRecord:
    """How an indicator went: the series of an answer, or why there are none, and the bounds that rules set it."""
    bounds = tuple(
        Bound(rule.bound, rule.text, rule.role)
        for rule in rules
        if rule.indicator == one.name and rule.bound is not None
    )
    unit = one.unit or "score"
    match answer:
        case Answered(by_variant):
            return IndicatorRecord(one.name, unit, tuple(pair for pair in by_variant if pair[1].times), bounds)
        case NoData(reason):
            return IndicatorRecord(one.name, unit, (), bounds, f"no data: {reason}")
        case Unavailable(reason):
            return IndicatorRecord(one.name, unit, (), bounds, f"Prometheus could not be asked: {reason}")
