"""Transitions of tenants in the record's file: each once, gaps are said, and the data keep their schema."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from pilotage.controller.ledger_file import LedgerFile
from pilotage.controller.tenants.telling import TransitionLine
from pilotage.resources.base import ObjectMeta
from pilotage.resources.tenant_record import TRANSITION_GAP_SCHEMA, TRANSITION_SCHEMA, transition_event
from pilotage.resources.tenant_status import Transition

META = ObjectMeta(name="search-prod", uid="11111111-2222-3333-4444-555555555555")
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "record.schema.json").read_text())


def line(sequence: int, meta: ObjectMeta = META) -> TransitionLine:
    at = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(minutes=sequence)
    made = Transition(sequence=sequence, time=at, action="Warn", reason="Above80Percent", message="84% is used")
    return TransitionLine(meta, made)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(each) for each in path.read_bytes().splitlines()]


def test_each_transition_is_written_once_whoever_writes(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    for last in (3, 3, 5):
        file = LedgerFile(path)
        file.write([line(number) for number in range(1, last + 1)])
        file.close()
    assert [each["data"]["sequence"] for each in read(path)] == [1, 2, 3, 4, 5]


def test_what_has_left_status_before_it_was_written_is_said_to_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    file = LedgerFile(path)
    file.write([line(4)])
    file.close()
    gap, told = read(path)
    assert (gap["data"]["first"], gap["data"]["last"], told["data"]["sequence"]) == (1, 3, 4)


@pytest.mark.parametrize("last", [1, 4])
def test_the_data_keep_the_schema_that_is_published(last: int) -> None:
    models = {each["$id"]: each for each in SCHEMA["$defs"].values()}
    for text in line(last).text(after=0).splitlines():
        event = json.loads(text)
        assert event["dataschema"] in (TRANSITION_SCHEMA, TRANSITION_GAP_SCHEMA)
        jsonschema.validate(event["data"], {**models[event["dataschema"]], "$defs": SCHEMA["$defs"]})


def test_an_event_names_its_tenant() -> None:
    event = transition_event(META, line(1).entry)
    assert event["type"] == "dev.pilotage.tenant.warn.v1"
    assert event["subject"] == "search-prod"
    assert event["source"] == "/apis/pilotage.dev/v1alpha1/tenantquotas/search-prod"
