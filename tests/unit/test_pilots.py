"""The decisions that `examples/roadmap` shows are decisions that its rollout can follow."""

from pathlib import Path

import pytest
import yaml

from pilotage.resources.decision import PilotDecision
from pilotage.resources.rollout import PilotRollout

ROADMAP = Path(__file__).parents[2] / "examples/roadmap"


def read(path: Path) -> dict[str, object]:
    document = yaml.safe_load(path.read_text())
    document["metadata"] |= {"namespace": "shop", "name": "example", "uid": "example"}
    return document  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", sorted((ROADMAP / "decisions").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_decision_names_what_the_rollout_has(path: Path) -> None:
    rollout = PilotRollout.model_validate(read(ROADMAP / "rollout.yaml"))
    said = PilotDecision.model_validate(read(path)).spec
    gates = {gate.name: {role.role for role in gate.quorum} for gate in rollout.spec.gates}
    assert said.rollout == "assistant"
    assert said.gate is None or said.role in gates[said.gate]
    assert said.to_step is None or said.to_step in {step.name for step in rollout.spec.steps}


def test_each_outcome_of_a_gate_has_an_example() -> None:
    decisions = [PilotDecision.model_validate(read(path)).spec for path in (ROADMAP / "decisions").glob("*.yaml")]
    assert {said.action for said in decisions if said.gate} == {"proceed", "extend", "return"}
    assert {said.action for said in decisions if not said.gate} == {"pause", "rollback"}
