"""Which of a rollout's questions are guarded: its own queries are, those of templates are asked as they are written."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from pilotage.controller.tenants.matchers import Matchers
from pilotage.controller.tenants.store import TenantStore
from pilotage.judging.evidence import Answer, Measurement, Question, Unavailable
from pilotage.judging.questions import Resolved, present, resolve_indicators
from pilotage.metrics.guarded import guarded
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout

NOW = datetime(2026, 11, 22, tzinfo=UTC)
OURS = (("namespace", "shop"),)
TEMPLATES = {
    "availability": IndicatorTemplateSpec.model_validate(
        {"errors": 'sum(rate(e{ns="$namespace"}[$window]))', "total": "sum(rate(t[$window]))"}
    )
}
ANSWER = Unavailable("as always")


class Recorder:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Measurement] = []

    async def ask(self, questions: Collection[Question], now: datetime) -> dict[Question, Answer]:  # noqa: ARG002
        self.asked += [question.measurement for question in questions]
        return dict.fromkeys(questions, ANSWER)


def rollout(*indicators: dict[str, Any]) -> PilotRollout:
    return PilotRollout.model_validate(
        {
            "metadata": {"name": "search", "namespace": "shop"},
            "spec": {
                "feature": {"flag": "search"},
                "steps": [{"name": "all", "percent": 100}],
                "indicators": list(indicators),
            },
        }
    )


async def asked(*indicators: dict[str, Any], history: bool = False) -> tuple[list[Measurement], list[Answer]]:
    """What is sent for a rollout's indicators, and what comes back."""
    found, source = rollout(*indicators), Recorder()
    known = resolve_indicators(found.spec, TEMPLATES, namespace="shop", name="search").values()
    questions = []
    for each in known:
        assert isinstance(each, Resolved)
        question = present(each, 300.0)
        if history:
            assert each.history is not None
            question = Question(each.history, 300.0, 0.0, 60.0)
        questions.append(question)
    answers = await guarded(source, OURS, found, TEMPLATES).ask(questions, NOW)
    return source.asked, [answers[question] for question in questions]


async def test_confused_deputy_a_rollouts_own_query_is_kept_to_the_tenants_series() -> None:
    [sent], answers = await asked({"name": "p95", "query": 'max(latency{namespace="victim"})'})
    assert sent.query == 'max(latency{namespace="shop",namespace="victim"})'
    assert answers == [ANSWER]


async def test_confused_deputy_all_kinds_of_own_queries_are_kept() -> None:
    sent, _ = await asked(
        {"name": "a", "errors": "sum(rate(e[$window]))", "total": "sum(rate(t[$window]))"},
        {"name": "b", "good": "sum(rate(g[$window]))", "total": "sum(rate(t[$window]))"},
        {"name": "c", "buckets": "sum by (le) (rate(b[$window]))", "unit": "seconds"},
    )
    queries = [query for each in sent for query in each.queries]
    assert len(queries) == 5
    assert all('{namespace="shop"}[$window]' in query for query in queries)


async def test_a_template_asks_as_the_platform_team_wrote_it() -> None:
    [sent], _ = await asked({"name": "a", "templateRef": "availability"})
    assert sent.queries == ('sum(rate(e{ns="shop"}[$window]))', "sum(rate(t[$window]))")


async def test_confused_deputy_a_history_of_ones_own_beside_a_template_is_kept_too() -> None:
    own = {"errors": "sum(rate(secret[$window]))", "total": "sum(rate(t2[$window]))"}
    [sent], _ = await asked({"name": "a", "templateRef": "availability", "history": own}, history=True)
    assert sent.errors == 'sum(rate(secret{namespace="shop"}[$window]))'


async def test_what_can_not_be_kept_is_not_sent_and_counts_as_no_data() -> None:
    sent, [refused, answered] = await asked({"name": "a", "query": "sum(a"}, {"name": "b", "query": "sum(b)"})
    assert [each.query for each in sent] == ['sum(b{namespace="shop"})']
    assert answered == ANSWER
    assert isinstance(refused, Unavailable)
    assert refused.reason.startswith("the operator rejects the query: it can't be read as PromQL")


def test_without_matchers_the_source_is_asked_itself() -> None:
    source = Recorder()
    assert guarded(source, (), rollout(), TEMPLATES) is source


def store(**tenants: dict[str, Any]) -> TenantStore:
    made = TenantStore()
    for name, access in tenants.items():
        spec = {"namespaces": ["shop"], "access": {"metrics": [access] if access else []}}
        made.put({"metadata": {"name": name, "resourceVersion": "1", "uid": name}, "spec": spec})
    return made


def test_the_labels_are_the_tenants_else_the_operators() -> None:
    ours = store(search={"label": "tenant", "value": "search-prod"})
    assert Matchers(ours, "namespace").of("shop") == (("tenant", "search-prod"),)
    assert Matchers(ours, "namespace").of("other") == (("namespace", "other"),)
    assert Matchers(ours).of("other") == ()
    assert Matchers(store(search={}), "namespace").of("shop") == (("namespace", "shop"),)


def test_forged_claims_of_a_namespace_only_narrow_what_it_may_read() -> None:
    both = store(search={"label": "tenant", "value": "search"}, victim={"label": "tenant", "value": "victim"})
    assert Matchers(both).of("shop") == (("tenant", "search"), ("tenant", "victim"))
