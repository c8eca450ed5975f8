"""The record's lines: what a decision looks like to those who read it, and where it is told."""

import asyncio
import io
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from pilotage.controller.ledger import Ledger
from pilotage.controller.ledger_file import LedgerFile
from pilotage.controller.record import Recorder
from pilotage.resources.cloudevents import decision_event, gap_event
from pilotage.resources.rollout import PilotRollout
from tests.builders import make_rollout
from tests.simulation import Simulation
from tests.unit.controller_world import World, break_it, judged, two_steps
from tests.unit.manual_clock import ManualClock

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "record.schema.json").read_text())
BY_NAME = {found["$id"]: found for found in SCHEMA["$defs"].values()}
REQUIRED = {"specversion", "id", "source", "type"}
OPTIONAL = {"subject", "time", "datacontenttype", "dataschema", "data"}


def expect_an_event(event: dict[str, Any]) -> None:
    """CloudEvents 1.0 in JSON, whose data fit the schema that they name and say nothing that it does not know."""
    assert event.keys() == REQUIRED | OPTIONAL
    assert event["specversion"] == "1.0"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", event["time"])
    assert re.fullmatch(r"[a-z0-9.]+", event["type"])
    schema = BY_NAME[event["dataschema"]]
    jsonschema.Draft202012Validator(schema).validate(event["data"])
    assert not event["data"].keys() - schema["properties"].keys()


def record_of(world: World) -> tuple[Recorder, io.BytesIO]:
    out = io.BytesIO()
    return Recorder(world.poster, world.clock, out=out), out


def said(out: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


async def broken() -> PilotRollout:
    """A rollout that was begun and taken back."""
    world = judged()
    await break_it(world)
    await world.run(3)
    assert world.phase == "RolledBack"
    return world.rollout


async def test_every_kind_of_decision_fits_the_schema() -> None:
    rollout = await broken()
    events = [decision_event(rollout.metadata, entry) for entry in rollout.status.history]
    for event in events:
        expect_an_event(event)
    assert [event["data"]["action"] for event in events] == ["Start", "RollBack", "RolledBack"]
    expect_an_event(gap_event(rollout.metadata, first=1, following=rollout.status.history[-1]))


def test_what_was_only_observed_is_of_another_type() -> None:
    rollout = make_rollout().step("all", percent=100).with_spec(mode="observe").obj()
    entry = Simulation(rollout).run(timedelta(minutes=5)).record[0]
    event = decision_event(rollout.metadata, entry)
    expect_an_event(event)
    assert (event["type"], event["data"]["mode"]) == ("dev.pilotage.observed.start.v1", "observe")


async def test_a_line_says_of_whom_what_why_and_by_which_evidence() -> None:
    rollout = await broken()
    event = decision_event(rollout.metadata, rollout.status.history[1])
    data = event["data"]
    assert event["id"] == f"{rollout.metadata.uid}.2"
    assert event["subject"] == "shop/search"
    assert event["source"] == "/apis/pilotage.dev/v1alpha1/namespaces/shop/pilotrollouts/search"
    assert event["type"] == "dev.pilotage.rollout.rollback.v1"
    assert (data["step"], data["reason"], data["admitted"]) == ("few", "Breach", "nobody")
    assert data["evidence"] == ["error_ratio > 1% for 1m: breach 50%"]
    assert data["generation"] == 1
    assert data["message"].startswith("breach: ")


def test_the_decisions_of_a_whole_rollout_fit_the_schema_and_number_without_a_gap() -> None:
    rollout = make_rollout().step("few", percent=10, hold="1h").step("all", percent=100, hold="1h").obj()
    simulation = Simulation(rollout)
    simulation.run(timedelta(hours=3))
    events = [decision_event(rollout.metadata, entry) for entry in simulation.record]
    for event in events:
        expect_an_event(event)
    assert [event["data"]["sequence"] for event in events] == list(range(1, len(events) + 1))


async def test_a_decision_that_is_told_again_after_a_crash_is_the_same_to_the_letter() -> None:
    world = two_steps()
    await world.run(2)
    (first, one), (second, two) = record_of(world), record_of(world)
    first.tell(world.rollout)
    first.tell(world.rollout)
    await world.clock.advance(10.0)
    second.tell(world.rollout)
    assert one.getvalue() == two.getvalue()
    assert len(said(one)) == 1


async def test_standard_output_that_nobody_reads_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Gone(io.BytesIO):
        def write(self, _: object, /) -> int:
            raise BrokenPipeError

    world = two_steps()
    await world.run(2)
    caplog.set_level("INFO")
    recorder = Recorder(world.poster, world.clock, out=Gone())
    recorder.tell(world.rollout)
    assert any("Start: " in line.message for line in caplog.records)


async def test_a_rollout_that_is_let_go_is_in_the_file_before(tmp_path: Path) -> None:
    world = two_steps()
    path = tmp_path / "decisions.jsonl"
    ledger = Ledger(LedgerFile(path), ManualClock(), lambda: True)
    world.reconciler._tools.recorder._ledger = ledger
    await world.run(2)
    world.delete()
    task = asyncio.create_task(ledger.run())
    await world.run(2)
    assert not world.rollout.metadata.finalizers
    told = [json.loads(line)["data"]["action"] for line in path.read_bytes().splitlines()]
    assert told == [entry.action for entry in world.rollout.status.history]
    assert told[-1] == "Release"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
