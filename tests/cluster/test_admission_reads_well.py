"""What kubectl shows of the kinds: explanations, columns, short names, the category."""

import json
import re

import pytest

from testbed import Cluster
from tests.cluster.admission import apply, rollout, template

pytestmark = pytest.mark.usefixtures("crds")


def columns(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("pilots", "One feature's way from nobody to everybody"),
        ("pilots.spec.steps.hold", "hold is how long the step lasts at least"),
        ("pilots.spec.steps.percent", "percent of the cohorts' users"),
        ("pilots.status.conditions.lastTransitionTime", "lastTransitionTime is when status changed last"),
        ("indicators.spec.errors", "errors is PromQL that counts bad events"),
    ],
)
def test_explain_tells_what_a_field_is(cluster: Cluster, path: str, told: str) -> None:
    assert told in flat(cluster.kubectl("explain", path))


def test_get_tells_the_story_in_one_line(cluster: Cluster, namespace: str) -> None:
    apply(cluster, namespace, rollout())
    status = {
        "phase": "Progressing",
        "nextCheckTime": "2030-01-02T03:04:05Z",
        "message": "step first is held for 1d",
        "summary": {"step": "1/2 first", "users": "10", "percent": "1%", "verdict": "pass", "waitsFor": "hold of 1d"},
    }
    patch = json.dumps({"status": status})
    cluster.kubectl(
        *("patch", "pilot", "search", f"--namespace={namespace}", "--subresource=status", "--type=merge", "-p", patch)
    )
    header, line = cluster.kubectl("get", "pilots", f"--namespace={namespace}").splitlines()
    assert columns(header) == ["NAME", "PHASE", "STEP", "USERS", "PERCENT", "VERDICT", "WAITS FOR", "UNTIL", "AGE"]
    told = ["search", "Progressing", "1/2 first", "10", "1%", "pass", "hold of 1d", "2030-01-02T03:04:05Z"]
    assert columns(line)[:-1] == told
    wide = cluster.kubectl("get", "pilots", f"--namespace={namespace}", "-o", "wide")
    assert "step first is held for 1d" in wide


def test_the_category_lists_all_kinds(cluster: Cluster, namespace: str) -> None:
    apply(cluster, namespace, rollout())
    name = f"template-of-{namespace}"
    apply(cluster, namespace, template({"query": "up"}, name))
    try:
        listed = cluster.kubectl("get", "pilotage", "--all-namespaces", "-o", "name").split()
    finally:
        cluster.kubectl("delete", "indicatortemplate", name)
    assert {"pilotrollout.pilotage.dev/search", f"indicatortemplate.pilotage.dev/{name}"} <= set(listed)
