"""PilotIncidents on a real API server: what may be recorded, by whom, and what an operator makes of it."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pilotage.kube import Kube
from testbed import Cluster, ProcessGroup, wait_until
from testbed.cluster import KubectlError
from testbed.install import Installed
from tests.cluster.admission import Object, apply, refusal, told
from tests.cluster.deletion import delete
from tests.cluster.forbidden import is_forbidden
from tests.cluster.replicas import Replica, start_leader
from tests.cluster.rollouts import Rollouts

DOCS = Path(__file__).parents[2] / "docs/incidents.md"
EXAMPLE = Path(__file__).parents[2] / "examples/semantic-search/incident.yaml"
STARTED = "2026-03-02T09:00:00Z"
LATER = "2026-03-02T11:30:00Z"


def incident(name: str = "db-down", **spec: Any) -> Object:
    said = {"severity": "critical", "title": "the database is down", "startedTime": STARTED, **spec}
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "PilotIncident",
        "metadata": {"name": name},
        "spec": {field: value for field, value in said.items() if value is not None},
    }


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="seconds").replace("+00:00", "Z")


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no severity": ({"severity": None}, "spec.severity", "Required value"),
    "an unknown severity": ({"severity": "P1"}, "spec.severity", 'supported values: "critical", "major", "minor"'),
    "no title": ({"title": ""}, "spec.title", "should be at least 1 chars long"),
    "no beginning": ({"startedTime": None}, "spec.startedTime", "Required value"),
    "a beginning that is no time": ({"startedTime": "today"}, "spec.startedTime", "must be of type date-time"),
    "an end before the beginning": (
        {"resolvedTime": "2026-03-02T08:59:59Z"},
        "spec.resolvedTime",
        "resolvedTime is before startedTime",
    ),
    "a link that is none": ({"link": "javascript:alert(1)"}, "spec.link", "in body should match"),
    "a rollout that has no such name": ({"rollout": "Semantic Search"}, "spec.rollout", "in body should match"),
    "an unknown field": ({"resolved": True}, "", 'unknown field "spec.resolved"'),
}


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(("spec", "field", "message"), REFUSED.values(), ids=REFUSED)
def test_apply_refuses_and_names_the_field(cluster: Cluster, spec: dict[str, Any], field: str, message: str) -> None:
    said = refusal(cluster, "default", incident(**spec), "--dry-run=server")
    assert told(said, field, message), said


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({}, {"startedTime": LATER}, "startedTime can't change"),
        ({"resolvedTime": LATER}, {"resolvedTime": "2026-03-02T12:00:00Z"}, "resolvedTime can be set once"),
        ({"resolvedTime": LATER}, {}, "resolvedTime can be set once"),
    ],
    ids=["another beginning", "another end", "open again"],
)
def test_what_has_happened_can_not_be_changed(
    cluster: Cluster, namespace: str, before: dict[str, Any], after: dict[str, Any], message: str
) -> None:
    apply(cluster, namespace, incident(**before))
    assert message in refusal(cluster, namespace, incident(**after))


@pytest.mark.usefixtures("crds")
def test_what_becomes_known_later_can_be_added(cluster: Cluster, namespace: str) -> None:
    apply(cluster, namespace, incident())
    stored = apply(
        cluster,
        namespace,
        incident(severity="major", cause="a full disk", rollout="search", resolvedTime=LATER, link="https://a.b/1"),
    )
    assert (stored["spec"]["severity"], stored["spec"]["resolvedTime"]) == ("major", LATER)
    apply(cluster, namespace, incident(severity="major", cause="a full disk, again", resolvedTime=LATER))


@pytest.mark.usefixtures("crds")
def test_get_tells_what_is_open_and_since_when(cluster: Cluster, namespace: str) -> None:
    apply(cluster, namespace, incident("first", startedTime=ago(7200), resolvedTime=ago(3600), rollout="search"))
    apply(cluster, namespace, incident("second", startedTime=ago(600)))
    header, first, second = cluster.kubectl("get", "incidents", "-n", namespace).splitlines()
    assert header.split() == ["NAME", "SEVERITY", "ROLLOUT", "STARTED", "RESOLVED", "TITLE", "AGE"]
    assert first.split()[:5] == ["first", "critical", "search", "120m", "60m"]
    print(f"\n{header}\n{first}\n{second}")
    assert second.split()[:4] == ["second", "critical", "10m", "the"]


@pytest.mark.usefixtures("crds")
def test_the_example_is_recorded_and_resolved_as_it_says(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", str(EXAMPLE))
    patch = json.dumps({"spec": {"resolvedTime": ago(0)}})
    cluster.kubectl("patch", "incident", "search-slow", "-n", namespace, "--type=merge", "-p", patch)
    found = json.loads(cluster.kubectl("get", "incident", "search-slow", "-n", namespace, "-o", "json"))
    assert found["spec"]["rollout"] == "semantic-search"
    assert found["spec"]["resolvedTime"]


@pytest.mark.usefixtures("crds")
@pytest.mark.skipif(shutil.which("jq") is None, reason="the script in the docs needs jq")
def test_the_script_in_the_docs_opens_and_resolves_what_alertmanager_tells(
    cluster: Cluster,
    namespace: str,
    tmp_path: Path,
) -> None:
    found = re.search(r"```sh\n(#!/bin/sh -e\n.*?)```", DOCS.read_text(), re.DOTALL)
    assert found
    (tmp_path / "script").write_text(found[1])
    (tmp_path / "kubectl").symlink_to(cluster.kubectl_path)
    cluster.kubectl("create", "serviceaccount", "alerts", "-n", namespace)
    cluster.kubectl(
        *("create", "role", "alerts", "-n", namespace, "--verb=create,patch", "--resource=pilotincidents.pilotage.dev")
    )
    cluster.kubectl(
        *("create", "rolebinding", "alerts", "-n", namespace, "--role=alerts", f"--serviceaccount={namespace}:alerts")
    )
    kubeconfig = cluster.kubeconfig_for_service_account(namespace, "alerts")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "KUBECONFIG": str(kubeconfig)}

    def receive(*alerts: Object) -> list[Object]:
        payload = json.dumps({"version": "4", "status": "firing", "alerts": alerts})
        command = ["sh", "-e", str(tmp_path / "script"), namespace]
        subprocess.run(command, input=payload, text=True, env=environment, check=True, capture_output=True)
        items = json.loads(cluster.kubectl("get", "incidents", "-n", namespace, "-o", "json"))["items"]
        return [item["spec"] for item in sorted(items, key=lambda item: str(item["metadata"]["name"]))]

    down = {
        "status": "firing",
        "labels": {"alertname": "DatabaseDown", "severity": "critical", "rollout": "search"},
        "annotations": {"summary": "The database doesn't answer"},
        "startsAt": "2026-03-02T09:12:00.123Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://prometheus.example.com/graph?g0.expr=up",
        "fingerprint": "c0ffee",
    }
    plain = {**down, "labels": {"alertname": "Slow"}, "annotations": {}, "generatorURL": "", "fingerprint": "facade"}
    wait_until(lambda: receive(down), "the role to be in force")
    opened, other = receive(down, plain)
    assert opened == {
        "severity": "critical",
        "title": "The database doesn't answer",
        "rollout": "search",
        "startedTime": "2026-03-02T09:12:00.123Z",
        "source": "alertmanager",
        "cause": "",
        "link": "https://prometheus.example.com/graph?g0.expr=up",
    }
    assert (other["severity"], other["title"], "rollout" in other, "link" in other) == ("minor", "Slow", False, False)
    resolved = {**down, "status": "resolved", "endsAt": "2026-03-02T09:20:00Z"}
    assert receive(resolved)[0]["resolvedTime"] == "2026-03-02T09:20:00Z"
    again = receive({**down, "startsAt": "2026-03-03T09:12:00.123Z"})
    assert [found.get("resolvedTime") for found in again] == ["2026-03-02T09:20:00Z", None, None]


async def test_the_operator_reads_incidents_and_writes_none(
    cluster: Cluster, operator_kube: Kube, namespace: str
) -> None:
    apply(cluster, namespace, incident())
    path = f"/apis/pilotage.dev/v1alpha1/namespaces/{namespace}/pilotincidents"
    listed = await operator_kube.get(path)
    assert [each["metadata"]["name"] for each in listed["items"]] == ["db-down"]
    assert (await operator_kube.get("/apis/pilotage.dev/v1alpha1/pilotincidents"))["items"]
    await is_forbidden(operator_kube.create(path, incident("another")))
    resolved = {"spec": {"resolvedTime": LATER}}
    await is_forbidden(operator_kube.patch(f"{path}/db-down", resolved, content_type="merge"))
    await is_forbidden(delete(operator_kube, f"{path}/db-down"))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("role", "verbs"), [("view", set()), ("edit", {"create", "patch"}), ("admin", {"create", "patch", "delete"})]
)
def test_who_edits_a_namespace_records_incidents_and_who_administers_it_deletes_them(
    cluster: Cluster, namespace: str, role: str, verbs: set[str]
) -> None:
    cluster.kubectl("create", "rolebinding", role, "-n", namespace, f"--clusterrole={role}", "--user=somebody")

    def may(verb: str) -> bool:
        try:
            return "yes" in cluster.kubectl("auth", "can-i", verb, "incidents", "-n", namespace, "--as=somebody")
        except KubectlError:  # `no` is an exit status of 1
            return False

    wait_until(lambda: may("get"), "the role to be aggregated")
    wait_until(lambda: {verb for verb in ("create", "patch", "delete") if may(verb)} == verbs, "all of it")


@pytest.fixture(scope="module")
def operator(installed: Installed) -> Iterator[Replica]:
    """Give an operator that leads, with the chart's rights, a flag service, and no Prometheus: incidents need none."""
    with ProcessGroup(prefix="pilotage-incidents-") as processes:
        yield start_leader(processes, installed, prometheus="http://127.0.0.1:9")


@pytest.fixture
def rollouts(cluster: Cluster, enrolled: str, operator: Replica) -> Iterator[Rollouts]:
    yield Rollouts(cluster, enrolled)
    cluster.kubectl("delete", "pilots", "--all", "-n", enrolled, "--timeout=30s")
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


STEPS = [{"name": "few", "percent": 10, "hold": "1s"}, {"name": "all", "percent": 100}]


def test_an_open_critical_incident_holds_and_once_resolved_the_rollout_goes_on(
    cluster: Cluster, rollouts: Rollouts
) -> None:
    apply(cluster, rollouts.namespace, incident(startedTime=ago(60)))
    apply(cluster, rollouts.namespace, incident("slow", severity="minor", startedTime=ago(60)))
    # An hour between two judgements: what happens sooner, happens because the incident has changed.
    rollouts.apply("search", interval="1h", go=["incidents(critical, open) == 0"], steps=STEPS)
    wait_until(lambda: rollouts.is_in_force("search"), "the first step to be in force")
    status = rollouts.wait_for("search", phase="Holding")
    [finding] = status["criteria"]
    assert finding["verdict"] == "breach"
    assert "1 != 0: db-down since" in finding["message"]
    resolved_at = time.monotonic()
    rollouts.kubectl(
        *("patch", "incident", "db-down", "--type=merge", "-p", json.dumps({"spec": {"resolvedTime": ago(0)}}))
    )
    rollouts.wait_for("search", phase="Completed")
    print(f"resolved to completed: {time.monotonic() - resolved_at:.1f} s")


def test_a_time_without_incidents_begins_when_the_last_one_is_resolved(cluster: Cluster, rollouts: Rollouts) -> None:
    apply(cluster, rollouts.namespace, incident(startedTime=ago(60), rollout="search"))
    apply(cluster, rollouts.namespace, incident("of-another", startedTime=ago(60), rollout="cart"))
    rollouts.apply("search", go=["incidents(critical, open) == 0 for 12s"], steps=STEPS)
    rollouts.wait_for("search", phase="Holding")
    time.sleep(4)
    resolved = ago(0)
    rollouts.kubectl(
        "patch", "incident", "db-down", "--type=merge", "-p", json.dumps({"spec": {"resolvedTime": resolved}})
    )
    wait_until(lambda: rollouts.status("search")["criteria"][0]["verdict"] == "pending", "the time to begin")
    [finding] = rollouts.status("search")["criteria"]
    assert datetime.fromisoformat(finding["since"]) == datetime.fromisoformat(resolved)
    assert datetime.fromisoformat(finding["earliest"]) == datetime.fromisoformat(resolved) + timedelta(seconds=12)
    status = rollouts.wait_for("search", phase="Completed")
    advanced = next(entry for entry in status["history"] if entry["action"] == "Advance")
    assert datetime.fromisoformat(advanced["time"]) >= datetime.fromisoformat(finding["earliest"])


def test_an_incident_takes_the_users_back_at_once_where_a_rollback_rule_says_so(
    cluster: Cluster, rollouts: Rollouts
) -> None:
    rollouts.apply(
        "search",
        interval="1h",
        rollback=["incidents(critical, open) > 0"],
        steps=[{"name": "few", "percent": 10, "hold": "2h"}],
    )
    wait_until(lambda: rollouts.is_in_force("search"), "the step to be in force")
    opened_at = time.monotonic()
    apply(cluster, rollouts.namespace, incident(rollout="search", startedTime=ago(5)))
    rollouts.wait_for("search", phase="RolledBack")
    print(f"opened to rolled back: {time.monotonic() - opened_at:.1f} s")
    assert rollouts.flag("search")["metadata"]["pilotage.exposure"] == "off"
