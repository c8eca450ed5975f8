"""Explain: the page of a rollout by its status, and of a plan by what is assumed."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from pilotage.cli.main import main
from pilotage.reports.explanation import as_document, explain, wrapped
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import NoiseStatus
from tests.builders import edited
from tests.unit.test_foresight import Piloted, planned

PLAN = {
    "apiVersion": "pilotage.dev/v1alpha1",
    "kind": "PilotRollout",
    "metadata": {"name": "search", "namespace": "shop"},
    "spec": {
        "feature": {"flag": "search"},
        "interval": "15s",
        "audience": {"population": {"users": 5000}},
        "indicators": [{"name": "errors", "errors": "e[$window]", "total": "t[$window]"}],
        "objectives": [{"indicator": "errors", "objective": "< 1%", "onBreach": "rollback"}],
        "rollback": ["errors > 5% for 10m"],
        "go": ["errors < 0.5% for 1h"],
        "steps": [
            {"name": "week-1", "users": 10, "hold": "15m"},
            {"name": "half", "percent": 50, "hold": "1d"},
            {"name": "everyone", "percent": 100},
        ],
    },
}


@pytest.fixture
def held() -> Piloted:
    """In its first step, which is too short, and waits for its objective."""
    builder = planned().step("some", percent=10, hold="1m").step("many", percent=50, hold="5m").step(percent=100)
    piloted = Piloted(builder.obj())
    piloted.verdict = "pass"
    piloted.decide(20).decide(20)
    piloted.verdict = "pending"
    return piloted.decide(20, value="3%")


def test_the_page_of_a_rollout_says_where_it_stands_and_what_it_waits_for(held: Piloted) -> None:
    page = explain(held.rollout, held.now + timedelta(seconds=30))
    assert page.startswith("shop/search: Holding\n  spec.objectives[0].objective: errors < 1%: pending\n")
    assert "  step 1/3 some, in force since 2026-03-02 09:00:30 UTC (45s ago)\n" in page
    assert "  admitted: 10% of users\n" in page
    assert "  waits for: objective: errors < 1%\n" in page


def test_each_criterion_says_its_value_and_what_would_change_it(held: Piloted) -> None:
    page = explain(held.rollout, held.now)
    assert "  as judged at 2026-03-02 09:00:45 UTC (now); renewed with each new verdict, else every 5m\n" in page
    assert "  pending     objective: errors < 1%\n" in page
    assert "\n              value:     3%\n" in page
    assert "\n              needs:     3% less\n" in page


def test_the_steps_say_what_they_can_prove(held: Piloted) -> None:
    page = explain(held.rollout, held.now)
    assert "  some  1m     2 requests a second   not even 10 times the objective  7m (too short)\n" in page
    assert "  many  5m     10 requests a second  2% (2 times the objective)" in page
    assert "! spec.steps[0].hold: with 10% and 2 requests a second, a rise to 3% errors shows after about 7m" in page


def test_decisions_are_told_with_their_reasons(held: Piloted) -> None:
    page = explain(held.rollout, held.now)
    assert "2026-03-02 09:00:15 UTC  Start      some (10%): the first of 3 steps; nothing speaks against it" in page


def test_noise_is_told_in_percent(held: Piloted) -> None:
    noise = NoiseStatus(rule="errors < 1% for 1m30s", step="some", hours=72, baseline="0.0012", note="calm over 72 h")
    status = held.rollout.status.model_copy(update={"noise": (noise,)})
    page = explain(held.rollout.model_copy(update={"status": status}), held.now)
    assert "errors < 1% for 1m30s: long-run errors 0.12% over 72 h; calm over 72 h" in page


def test_a_rollout_that_nobody_looked_at_yet_is_said_to_be_so() -> None:
    rollout = planned().step(percent=100).obj()
    assert explain(rollout, datetime.now(UTC)) == (
        "shop/search: not looked at yet\n  the spec was edited since: what follows speaks of the one before\n"
    )


def test_an_edit_that_was_not_judged_yet_is_said(held: Piloted) -> None:
    page = explain(edited(held.rollout, interval="30s"), held.now)
    assert "the spec was edited since" in page
    assert "the spec was edited since" not in explain(held.rollout, held.now)


def test_programs_get_the_names_of_status(held: Piloted) -> None:
    document = json.loads(json.dumps(as_document(held.rollout)))
    assert document["phase"] == "Holding"
    assert document["criteria"][0]["remedy"] == "3% less"
    assert [one["proves"] for one in document["outlook"]] == ["TooLittle", "Enough"]
    assert "StepsProvable" in [one["type"] for one in document["conditions"]]


def test_long_texts_are_wrapped_between_words() -> None:
    lines = wrapped("word " * 60, indent=2, hang=2)
    assert all(len(line) <= 110 for line in lines)
    assert "".join(lines).split() == ["word"] * 60
    assert wrapped("x" * 200) == ["  " + "x" * 200]


# --- the command


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    file = tmp_path / "rollout.yaml"
    file.write_text(yaml.safe_dump(PLAN), encoding="utf-8")
    return file


def test_a_plan_is_explained_without_a_cluster(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "-f", str(plan), "--requests-per-second", "16.7", "--baseline", "0.1%"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("search: 3 steps, judged every 15s\n  assumed: 16.7 requests a second of all users, 5000 ")
    assert "  week-1  15m    2 requests a minute    not even 10 times the objective  5h (too short)\n" in page
    assert "a rise from 0.1% to 3% errors shows after about 5h (9 times of 10);" in " ".join(page.split())
    assert "objective: errors < 1%: weighs each request against control; what breaks it rolls back after 1m30s" in page
    assert "rollback: errors > 5% for 10m: rolls back at most 11m15s after it begins to apply" in page
    assert "go: errors < 0.5% for 1h: has to hold for 1h before a step is left" in page


def test_a_plan_is_explained_to_programs(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "-f", str(plan), "--requests-per-second=16.7", "--baseline=0.001", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["stepsProvable"] == "False"
    assert document["assumed"] == {"requestsPerSecond": 16.7, "baseline": 0.001, "population": 5000}
    assert [one["needs"] for one in document["outlook"]] == ["5h", "3m"]
    assert document["rules"][0]["onBreach"] == "rollback"


def test_without_a_rate_it_is_unknown_what_a_plan_can_prove(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "-f", str(plan)]) == 0
    assert "! step week-1: its requests are not counted yet" in capsys.readouterr().out


def test_a_plan_that_can_not_be_carried_out_says_why(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = yaml.safe_load(plan.read_text(encoding="utf-8"))
    broken["spec"]["rollback"] = ["latency > 3s"]
    plan.write_text(yaml.safe_dump(broken), encoding="utf-8")
    assert main(["explain", "-f", str(plan), "--requests-per-second=2"]) == 1
    assert "! spec.rollback[0]: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a rollout of the cluster, or give the file of a plan with -f"),
        (["search", "-f", "x.yaml"], "name a rollout of the cluster, or give the file of a plan with -f"),
        (["search", "--baseline=1%"], "what is assumed goes with -f"),
        (["shop/search", "-n", "shop"], "write NAME and -n NAMESPACE, or NAMESPACE/NAME"),
        (["/search"], "write NAME and -n NAMESPACE, or NAMESPACE/NAME"),
        (["a/b/c"], "write NAME and -n NAMESPACE, or NAMESPACE/NAME"),
        (["-f", "/nowhere/rollout.yaml"], "can't explain: "),
    ],
)
def test_misuse_says_what_to_write(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--baseline=100%", "--baseline=x", "--baseline=-1%", "--requests-per-second=0"])
def test_numbers_that_make_no_sense_are_misuse(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["explain", "-f", "x.yaml", option])
    assert caught.value.code == 2
    assert " is no " in capsys.readouterr().err


def test_a_file_without_a_rollout_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "other.yaml"
    file.write_text("kind: ConfigMap\n", encoding="utf-8")
    assert main(["explain", "-f", str(file)]) == 2
    assert "there is no PilotRollout in" in capsys.readouterr().err


def test_without_a_cluster_it_says_how_to_name_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "shop/search", f"--kubeconfig={tmp_path / 'nothing'}"]) == 1
    assert "no cluster is known: give --kubeconfig, or set KUBECONFIG" in capsys.readouterr().err


def test_a_plan_needs_no_cluster_client(plan: Path) -> None:
    code = (
        "import sys\nfrom pilotage.cli.main import main\n"
        f"main(['explain', '-f', {str(plan)!r}])\n"
        "print({'kubernetes', 'kopf', 'aiohttp', 'matplotlib', 'prometheus_api_client'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


def test_the_plan_of_the_tests_is_one_that_can_be_applied() -> None:
    assert PilotRollout.model_validate(PLAN).spec.steps[0].users == 10
