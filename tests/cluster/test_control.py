"""Control, whole: who is treatment, control and held back as an application sees it, and what may not be edited."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from pilotage.rollout.bucketing import bucket_of, part_of
from pilotage.rollout.bucketing_probe import PROBE_FLAG
from pilotage.rollout.exposure import SHARE_TOTAL
from testbed import Cluster, KubectlError, ProcessGroup, PrometheusServer, wait_until
from testbed.install import Installed
from tests.cluster.flag_world import Application, application, with_token
from tests.cluster.replicas import Replica, start_leader
from tests.cluster.rollouts import Rollouts

USERS = [f"user-{number:04}" for number in range(400)]


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessGroup]:
    with ProcessGroup(prefix="pilotage-control-") as group:
        yield group


@pytest.fixture(scope="module")
def operator(processes: ProcessGroup, installed: Installed, prometheus: PrometheusServer) -> Replica:
    return start_leader(processes, installed, prometheus=prometheus.url)


@pytest.fixture
def rollouts(cluster: Cluster, enrolled: str, operator: Replica) -> Iterator[Rollouts]:
    yield Rollouts(cluster, enrolled)
    cluster.kubectl("delete", "pilots", "--all", "-n", enrolled, "--timeout=60s")
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


@pytest.fixture
def app(processes: ProcessGroup, rollouts: Rollouts) -> Iterator[Application]:
    rollouts.kubectl("create", "serviceaccount", "app")
    token = rollouts.kubectl("create", "token", "app", "--audience=pilotage-flags").strip()
    (port,) = [each.partition("=")[2] for each in processes.processes["flags"].argv if each.startswith("--port=")]
    with application(int(port), "", selector="", channel_credentials=with_token(token)) as opened:
        yield opened


def arms(app: Application, flag: str, revision: int) -> dict[str, set[str]]:
    """The users of each variant, when a revision has come to the application."""
    app.wait_for(revision, flag, seconds=30)
    found: dict[str, set[str]] = {}
    for user in USERS:
        details = app.ask(user, flag)
        assert details.variant
        assert details.value is (details.variant == "on")
        found.setdefault(details.variant, set()).add(user)
    return found


def held_back(rollouts: Rollouts, name: str, parts: int) -> set[str]:
    seed = rollouts.status(name)["cohort"]["seed"]
    last = SHARE_TOTAL - parts
    return {user for user in USERS if part_of(bucket_of(user, seed=seed, generation="cbor")) >= last}


def in_step(rollouts: Rollouts, name: str, step: str) -> None:
    def reached() -> bool:
        found = rollouts.status(name).get("step", {})
        return bool(found.get("name") == step and "verifiedTime" in found)

    wait_until(reached, f"{name} to be in {step}", seconds=60)


def test_equal_arms_grow_and_the_holdback_stays_control_to_the_end(rollouts: Rollouts, app: Application) -> None:
    said: dict[str, Any] = {"audience": {"control": "equal", "holdback": "10%", "exclude": ["user-0000"]}}
    steps = [{"name": "quarter", "percent": 25, "hold": "1h"}]
    rollouts.apply("arms", steps=steps, **said)
    in_step(rollouts, "arms", "quarter")
    before = arms(app, "arms", 1)
    held = held_back(rollouts, "arms", SHARE_TOTAL // 10) - {"user-0000"}
    assert held <= before["off"]
    assert {name: 70 < len(users) < 130 for name, users in before.items() if name != "rest"} == {
        "on": True,
        "off": True,
    }
    assert "user-0000" in before["rest"]
    steps = [{"name": "quarter", "percent": 25, "hold": "0s"}, {"name": "half", "percent": 50, "hold": "1h"}]
    rollouts.apply("arms", steps=steps, **said)
    in_step(rollouts, "arms", "half")
    half = arms(app, "arms", 2)
    assert (before["on"] <= half["on"], before["off"] <= half["off"]) == (True, True)
    steps = [*steps[:1], {"name": "half", "percent": 50, "hold": "0s"}, {"name": "all", "percent": 100}]
    rollouts.apply("arms", steps=steps, **said)
    rollouts.wait_for("arms", phase="Completed", seconds=60)
    last = arms(app, "arms", 3)
    assert last["off"] == held
    assert half["on"] <= last["on"]
    assert rollouts.status("arms")["history"][-1]["admitted"] == "everybody but 10% held back"


def test_the_holdback_can_only_be_lowered_and_arms_not_be_exchanged(rollouts: Rollouts) -> None:
    steps = [{"name": "half", "percent": 50, "hold": "1h"}]
    rollouts.apply("kept", steps=steps, audience={"holdback": "2%"})
    in_step(rollouts, "kept", "half")
    for audience, message in (
        ({"holdback": "5%"}, r"spec\.audience\.holdback: .*holdback can only be lowered once users may be in"),
        ({"holdback": "2%", "control": "equal"}, r"spec\.audience\.control: .*control can't change once users may be"),
    ):
        with pytest.raises(KubectlError) as caught:
            rollouts.apply("kept", steps=steps, audience=audience)
        assert re.search(message, caught.value.stderr)
    rollouts.apply("kept", steps=steps, audience={"holdback": "1%"})
    rollouts.apply("kept", steps=steps, audience={})
    with pytest.raises(KubectlError, match="holdback can only be lowered"):
        rollouts.apply("kept", steps=steps, audience={"holdback": "1%"})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"audience": {"holdback": "0%"}}, "write the share of all users who are held back, more than 0%"),
        ({"audience": {"holdback": "51%"}}, "more than 0% and at most 50%, such as 2%"),
        ({"audience": {"holdback": "2"}}, "such as 2%"),
        ({"audience": {"control": "equal"}, "feature": {"flag": "bad", "rest": "off"}}, "rest must differ from"),
        ({"delivery": {"leaseSeconds": 4}}, "greater than or equal to 5"),
        ({"delivery": {"flags": {"evaluators": {"indicator": "none"}}}}, "evaluators.indicator is not defined"),
    ],
)
def test_what_can_not_be_meant_is_refused(rollouts: Rollouts, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(KubectlError) as caught:
        rollouts.apply("bad", steps=[{"name": "all", "percent": 100}], **spec)
    assert message in caught.value.stderr


def evaluators(**counts: int) -> dict[str, Any]:
    """An indicator as applications would make it by their metrics."""
    told = [f'label_replace(vector({count}), "generation", "{name}", "", "")' for name, count in counts.items()]
    query = " or ".join(told)
    return {"indicators": [{"name": "evaluators", "query": query, "unit": "count", "variantLabel": "generation"}]}


def test_a_rollout_waits_until_all_evaluators_hash_alike(rollouts: Rollouts, app: Application) -> None:
    said: dict[str, Any] = {
        "delivery": {"flags": {"evaluators": {"indicator": "evaluators"}}},
        "steps": [{"name": "half", "percent": 50, "hold": "1h"}],
    }
    rollouts.apply("mixed", **said, **evaluators(cbor=2, raw=1))
    wait_until(lambda: condition(rollouts)["status"] == "False", "the condition", seconds=30)
    assert condition(rollouts)["reason"] == "GenerationsDiffer"
    assert "1 raw of 3 evaluators, but hashGeneration is cbor" in condition(rollouts)["message"]
    assert rollouts.status("mixed")["phase"] == "Pending"
    rollouts.apply("mixed", **said, **evaluators(cbor=3))
    in_step(rollouts, "mixed", "half")
    assert condition(rollouts)["status"] == "True"
    app.wait_for(1, "mixed", seconds=30)
    told = app.provider.resolve_string_details(PROBE_FLAG, "none")
    assert told.value == "cbor", "what this application would export"


def condition(rollouts: Rollouts) -> dict[str, str]:
    found: dict[str, dict[str, str]] = {each["type"]: each for each in rollouts.status("mixed").get("conditions", [])}
    return found.get("BucketingConsistent", {"status": "", "reason": "", "message": ""})
