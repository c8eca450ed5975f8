"""Builders: short ways to say a rollout in a test."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pilotage.judging.evidence import Answer, Evidence
from pilotage.judging.reading import readable_rules
from pilotage.judging.threshold import ThresholdRule
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout, PilotRolloutSpec
from pilotage.resources.status import Finding


class RolloutBuilder:
    """Says a PilotRollout bit by bit: `make_rollout().step(users=10).hold("1d").obj()`."""

    def __init__(self, name: str) -> None:
        self._meta = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "generation": 1}
        self._spec: dict[str, Any] = {"feature": {"flag": name}, "interval": "10s", "steps": []}

    def step(self, name: str = "", **said: Any) -> Self:
        """One more step; `hold`, `users`, `percent`, `cohorts`, `go` as in the spec."""
        self._spec["steps"].append({"name": name or f"step-{len(self._spec['steps']) + 1}", **said})
        return self

    def with_spec(self, **fields: Any) -> Self:
        """Fields of the spec, in camelCase."""
        self._spec.update(fields)
        return self

    def indicator(self, name: str, **said: Any) -> Self:
        """One more indicator; a ratio of errors and total if nothing is said."""
        said = said or {"errors": f"{name}_errors", "total": f"{name}_total"}
        self._spec.setdefault("indicators", []).append({"name": name, **said})
        return self

    def obj(self) -> PilotRollout:
        """The resource, as it comes from the API server before anything was decided."""
        return PilotRollout.model_validate({"metadata": self._meta, "spec": self._spec})


def make_rollout(name: str = "search") -> RolloutBuilder:
    """A rollout of the flag of the same name in the namespace `shop`, judged every 10 s."""
    return RolloutBuilder(name)


def edited(rollout: PilotRollout, **fields: Any) -> PilotRollout:
    """The rollout after a user changed fields of its spec (camelCase)."""
    spec: Mapping[str, Any] = {**rollout.spec.to_wire(), **fields}
    metadata = rollout.metadata.model_copy(update={"generation": rollout.metadata.generation + 1})
    fresh = PilotRollout.model_validate({"metadata": metadata.to_wire(), "spec": spec})
    return fresh.model_copy(update={"status": rollout.status})


def read_rules(
    spec: PilotRolloutSpec,
    templates: Mapping[str, IndicatorTemplateSpec],
    *,
    namespace: str = "shop",
    name: str = "search",
) -> tuple[ThresholdRule, ...]:
    """The rules of a spec, all of them with a threshold; raises the first thing that is wrong."""
    rules, wrong = readable_rules(spec, templates, namespace=namespace, name=name)
    if wrong:
        raise wrong[0]
    assert all(isinstance(rule, ThresholdRule) for rule in rules)
    return tuple(rule for rule in rules if isinstance(rule, ThresholdRule))


def judge(rule: ThresholdRule, answer: Answer, now: datetime) -> Finding:
    """What a rule makes of the answer to its question."""
    return rule.judge(Evidence({rule.question: answer}), now)
