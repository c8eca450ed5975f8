"""What the demo shows: a live table on a terminal, plain lines elsewhere."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from examples.shop.screen import LiveScreen, Row, Screen, next_event
from examples.shop.story import Clients, Sight
from pilotage.resources.rollout import PilotRollout

NOW = datetime(2020, 3, 2, 9, 0, tzinfo=UTC)


def sight() -> Sight:
    entry = {"time": NOW.isoformat(), "sequence": 1, "action": "RollBack", "reason": "Breach", "admitted": "nobody"}
    summary = {"step": "3/4 limited", "users": "900", "verdict": "breach", "waitsFor": "hold 28s"}
    status = {
        "phase": "Progressing",
        "summary": summary,
        "nextCheckTime": (NOW + timedelta(seconds=12)).isoformat(),
        "history": [{**entry, "message": "error_ratio is 18.7%"}],
    }
    spec = {"feature": {"flag": "x"}, "steps": [{"name": "limited", "percent": 30}]}
    rollout = PilotRollout.model_validate({"metadata": {"name": "x"}, "spec": spec, "status": status})
    return Sight(Clients(inside=873), rollout)


def live_text(*, height: int = 40) -> str:
    file = io.StringIO()
    screen = LiveScreen(Console(file=file, width=120, height=height))
    with screen:
        screen.chapter("the story")
        for number in range(50):
            screen.say(f"line {number}.")
        screen.decision("checkout", sight().rollout.status.history[0], 873)
        screen.show(Row("checkout", sight(), {"on": 0.187, "off": 0.0006}))
    return file.getvalue()


def test_the_table_sets_what_was_admitted_beside_what_the_clients_saw() -> None:
    row = next(line for line in live_text().splitlines() if "3/4 limited" in line)
    told = " ".join(row.split())
    assert told == "checkout Progressing 3/4 limited 900 873 0.06% 18.70% breach hold 28s: 0 s left"


def test_the_whole_log_stays_on_the_terminal_at_the_end() -> None:
    text = live_text(height=20)
    assert all(f"line {number}." in text for number in range(50))
    assert "error_ratio is 18.7%" in text


def test_elsewhere_than_on_a_terminal_each_decision_is_a_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.decision("checkout", sight().rollout.status.history[0], 873)
    screen.show(Row("checkout", sight(), {}))
    with screen.step("the shop"):
        pass
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("s  checkout: RollBack   nobody               (873 have it)     error_ratio is 18.7%")
    assert [line.split("s  ", 1)[1] for line in lines[1:]] == ["the shop ...", "the shop: 0.0 s"]


def test_what_comes_next_is_told_with_the_seconds_that_are_left() -> None:
    assert next_event(sight(), NOW + timedelta(seconds=2)) == "hold 28s: 10 s left"
