"""The example that says everything (tests/cluster/data/full.yaml) says everything, and comes back as it was said."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from pilotage.resources.crd import object_schema
from pilotage.resources.rollout import PilotRollout

FULL = Path(__file__).parents[1] / "cluster" / "data" / "full.yaml"


def fields_of(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from fields_of(child.get("items", child), f"{path}.{name}")


def said_in(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, child in value.items():
            yield f"{path}.{name}"
            yield from said_in(child, f"{path}.{name}")
    if isinstance(value, list):
        for child in value:
            yield from said_in(child, path)


def test_every_field_of_the_spec_is_said_but_where_one_rules_out_the_other() -> None:
    spec = yaml.safe_load(FULL.read_text())["spec"]
    missing = set(fields_of(object_schema(PilotRollout)["properties"]["spec"], "spec")) - set(said_in(spec, "spec"))
    assert missing == {"spec.audience.population.users"}


def test_it_comes_back_as_it_was_said() -> None:
    document = yaml.safe_load(FULL.read_text())
    assert PilotRollout.model_validate(document).spec.to_wire() == document["spec"]


def test_a_field_of_a_newer_version_is_ignored_on_reading() -> None:
    document = yaml.safe_load(FULL.read_text())
    document["spec"]["somethingNew"] = {"a": 1}
    assert "somethingNew" not in PilotRollout.model_validate(document).spec.to_wire()


def test_what_was_read_can_not_be_changed() -> None:
    read = PilotRollout.model_validate(yaml.safe_load(FULL.read_text()))
    with pytest.raises(ValidationError, match="frozen"):
        read.spec.paused = False  # type: ignore[misc]
