"""People's decisions on a real API server: who made one and may, what is recorded, and what an operator makes of it.

The users are impersonated: the API server takes their names from there as it would from a certificate or a token.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pilotage.kube import Kube
from testbed import Cluster, ProcessGroup, wait_until
from testbed.cluster import KubectlError
from testbed.install import Installed
from tests.cluster.admission import Object, refusal, rollout, told
from tests.cluster.deletion import delete
from tests.cluster.forbidden import is_forbidden
from tests.cluster.replicas import Replica, start_leader
from tests.cluster.rollouts import Rollouts

EXAMPLE = Path(__file__).parents[2] / "examples/roadmap/decisions/month-4.yaml"
CHANGED_BY = "pilotage.dev/changed-by"


def decision(what: str, who: str, name: str = "d1", **spec: Any) -> Object:
    said = {"rollout": "search", "action": what, "by": who, "reason": "as agreed", **spec}
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "PilotDecision",
        "metadata": {"name": name},
        "spec": {field: value for field, value in said.items() if value is not None},
    }


class People:
    """Users with rights in one namespace; each is given by a Role as docs/gates.md has it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace, self.made = cluster, namespace, 0
        rules = [
            {"apiGroups": ["pilotage.dev"], "resources": ["pilotdecisions"], "verbs": ["create", "get", "patch"]},
            {"apiGroups": ["pilotage.dev"], "resources": ["pilotrollouts"], "verbs": ["get"]},
        ]
        self._role("decide", rules)

    def give(self, user: str, *, gate: str = "", verbs: tuple[str, ...] = (), rollout: str = "search") -> None:
        """Let a user decide: at a gate, or by verbs of their own; returns when the API server knows."""
        self._bind(user, "decide")
        if gate:
            self._rule(user, "approve", "pilotrollouts/gates", gate)
        for verb in verbs:
            self._rule(user, verb, "pilotrollouts/decisions", rollout)

    def decide(self, action: str, by: str, **spec: Any) -> str:
        """Create a decision as its user; returns its name."""
        self.made += 1
        name = f"{by}-{self.made}"
        self.create(decision(action, by, name, **spec), user=by)
        return name

    def create(self, wanted: Object, *, user: str) -> None:
        self.cluster.kubectl("create", "-n", self.namespace, f"--as={user}", "-f", "-", input=json.dumps(wanted))

    def create_in_time(self, wanted: Object, *, user: str) -> None:
        """The same, once the cluster's own roles have what the chart adds to them."""

        def create() -> bool:
            self.create(wanted, user=user)
            return True

        wait_until(create, "the role to be aggregated")

    def refused(self, wanted: Object, *, user: str) -> str:
        """What the user reads."""
        with pytest.raises(KubectlError) as caught:
            self.create(wanted, user=user)
        return caught.value.stderr

    def _rule(self, user: str, verb: str, resource: str, name: str) -> None:
        role = f"{user}-{verb}-{name}"
        rule = {"apiGroups": ["pilotage.dev"], "resources": [resource], "resourceNames": [name], "verbs": [verb]}
        self._role(role, [rule])
        self._bind(user, role)
        parent, subresource = resource.split("/")
        asked = ("auth", "can-i", verb, f"{parent}.pilotage.dev/{name}", f"--subresource={subresource}")
        wait_until(
            lambda: "yes" in self.cluster.kubectl(*asked, "-n", self.namespace, f"--as={user}"),
            "the API server to know the new right",
        )

    def _role(self, name: str, rules: list[dict[str, Any]]) -> None:
        self._apply({"kind": "Role", "metadata": {"name": name}, "rules": rules})

    def _bind(self, user: str, role: str) -> None:
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
        name = f"{user}-{role}"
        self._apply({"kind": "RoleBinding", "metadata": {"name": name}, "roleRef": reference, "subjects": [subject]})

    def _apply(self, wanted: Object) -> None:
        self.cluster.apply({"apiVersion": "rbac.authorization.k8s.io/v1", **wanted}, arguments=["-n", self.namespace])


@pytest.fixture
def people(cluster: Cluster, installed: Installed, namespace: str) -> People:  # noqa: ARG001 - the policies must be there
    return People(cluster, namespace)


def test_a_decision_in_another_name_is_refused(people: People) -> None:
    people.give("sue", gate="security")
    said = people.refused(decision("proceed", "tom", gate="security"), user="sue")
    assert "spec.by is tom, but you are sue: write your own name" in said
    people.create(decision("proceed", "sue", gate="security"), user="sue")


def test_an_approval_without_the_right_to_that_gate_is_refused(people: People) -> None:
    people.give("sue", gate="legal")
    said = people.refused(decision("proceed", "sue", gate="security"), user="sue")
    assert "sue lacks the right to decide at this gate: verb approve on pilotrollouts/gates named security" in said
    for action in ("extend", "return"):
        extra = {"extendBy": "1d"} if action == "extend" else {}
        assert "named security" in people.refused(decision(action, "sue", gate="security", **extra), user="sue")


def test_a_right_to_one_role_of_a_gate_is_none_to_another(people: People) -> None:
    people.give("sue", gate="expansion.security")
    people.create(decision("proceed", "sue", gate="expansion", role="security"), user="sue")
    said = people.refused(decision("proceed", "sue", "d2", gate="expansion", role="engineering"), user="sue")
    assert "named expansion.engineering" in said
    assert "named expansion" in people.refused(decision("proceed", "sue", "d3", gate="expansion"), user="sue")


def test_what_is_decided_without_a_gate_needs_the_right_to_that_action_on_that_rollout(people: People) -> None:
    people.give("sue", verbs=("pause", "rollback"))
    people.create(decision("pause", "sue"), user="sue")
    people.create(decision("rollback", "sue", "d2"), user="sue")
    said = people.refused(decision("skip", "sue", "d3"), user="sue")
    assert "sue lacks the right to decide this: verb skip on pilotrollouts/decisions named search" in said
    assert "named cart" in people.refused(decision("pause", "sue", "d4", rollout="cart"), user="sue")


@pytest.mark.parametrize(("role", "may_pause"), [("view", False), ("edit", True), ("admin", True)])
def test_who_edits_a_rollout_decides_about_it_but_approves_nothing(
    cluster: Cluster, people: People, role: str, *, may_pause: bool
) -> None:
    people.give("dev")
    cluster.kubectl("create", "rolebinding", role, "-n", people.namespace, f"--clusterrole={role}", "--user=dev")
    if may_pause:
        wait_until(lambda: people.decide("pause", "dev"), "the role to be aggregated")
    else:
        assert "lacks the right" in people.refused(decision("pause", "dev"), user="dev")
    assert "lacks the right" in people.refused(decision("proceed", "dev", "d2", gate="security"), user="dev")


def test_the_charts_approver_approves_every_gate_of_the_namespace_it_is_bound_in(
    cluster: Cluster, people: People
) -> None:
    cluster.kubectl(
        *("create", "rolebinding", "vp", "-n", people.namespace, "--clusterrole=pilotage-approver", "--user=vp")
    )
    wait_until(lambda: people.decide("proceed", "vp", gate="security"), "the right to be known")
    people.decide("proceed", "vp", gate="expansion", role="finance")
    assert "lacks the right" in people.refused(decision("skip", "vp"), user="vp")


def test_the_example_is_made_by_whom_it_names_and_nobody_else(people: People) -> None:
    people.give("fay@example.com", gate="month-4.finance")
    people.give("paul@example.com", gate="month-4.finance")
    wanted = yaml.safe_load(EXAMPLE.read_text())
    people.create(wanted, user="fay@example.com")
    assert "write your own name" in people.refused(wanted, user="paul@example.com")


def test_a_decision_can_not_be_changed(cluster: Cluster, people: People) -> None:
    people.give("sue", verbs=("pause",))
    people.create(decision("pause", "sue"), user="sue")
    said = refusal(cluster, people.namespace, decision("pause", "sue", reason="something else"))
    assert "a decision can't be changed: make another PilotDecision" in said


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no reason": ({"reason": None}, "spec.reason", "Required value"),
    "an empty reason": ({"reason": ""}, "spec.reason", "should be at least 1 chars long"),
    "an approval of nothing": ({"gate": None}, "spec.gate", "proceed needs the gate that is approved"),
    "a gate that is paused": ({"action": "pause"}, "spec.gate", "a gate goes with proceed, extend and return only"),
    "an extension by nothing": ({"action": "extend"}, "spec", "extendBy goes with extend"),
    "an approval by days": ({"extendBy": "2d"}, "spec", "extendBy goes with extend"),
    "an approval of a step": ({"toStep": "few"}, "spec.toStep", "toStep goes with return and skip only"),
    "a role without a gate": ({"action": "return", "gate": None, "role": "cto"}, "spec.role", "needs the gate"),
    "an unknown action": ({"action": "approve"}, "spec.action", 'supported values: "proceed"'),
}


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(("spec", "field", "message"), REFUSED.values(), ids=REFUSED)
def test_apply_refuses_and_names_the_field(cluster: Cluster, spec: dict[str, Any], field: str, message: str) -> None:
    wanted = decision("proceed", "sue", **{"gate": "security", **spec})
    said = refusal(cluster, "default", wanted, "--dry-run=server")
    assert told(said, field, message), said


GATES_REFUSED: dict[str, tuple[Any, Any, str]] = {
    "a gate that is not defined": (
        [],
        ["security"],
        "steps[1] everyone: gate security is not defined: add it to gates",
    ),
    "a number and a quorum": (
        [{"name": "security", "approvers": 2, "quorum": [{"role": "cto"}]}],
        ["security"],
        "give approvers or quorum, not both",
    ),
    "a return without a deadline": (
        [{"name": "security", "onDeadline": "return"}],
        ["security"],
        "onDeadline: return needs a deadline",
    ),
}


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(("gates", "named", "message"), GATES_REFUSED.values(), ids=GATES_REFUSED)
def test_apply_refuses_gates_that_can_not_be(cluster: Cluster, gates: Any, named: Any, message: str) -> None:
    wanted = rollout({"gates": gates, "steps.1.gates": named})
    assert message in refusal(cluster, "default", wanted, "--dry-run=server")


def author_of(cluster: Cluster, namespace: str) -> str:
    found = json.loads(cluster.kubectl("get", "pilot", "search", "-n", namespace, "-o", "json"))
    return str(found["metadata"]["annotations"].get(CHANGED_BY, ""))


def test_the_api_server_records_who_changed_a_spec_and_nobody_forges_it(cluster: Cluster, people: People) -> None:
    namespace = people.namespace
    for user in ("dev", "eve"):
        cluster.kubectl("create", "rolebinding", user, "-n", namespace, "--clusterrole=edit", f"--user={user}")
    wanted = rollout()
    people.create_in_time(wanted, user="dev")
    assert author_of(cluster, namespace) == "dev"

    def patch(user: str, change: Object) -> None:
        cluster.kubectl(
            *("patch", "pilot", "search", "-n", namespace, f"--as={user}", "--type=merge", "-p", json.dumps(change))
        )

    patch("eve", {"metadata": {"labels": {"team": "shop"}}})
    assert author_of(cluster, namespace) == "dev", "only spec counts"
    patch("eve", {"spec": {"paused": True}, "metadata": {"annotations": {CHANGED_BY: "dev"}}})
    assert author_of(cluster, namespace) == "eve"
    patch("eve", {"metadata": {"annotations": {CHANGED_BY: "dev"}}})
    patch("eve", {"metadata": {"annotations": {CHANGED_BY: None}}})
    assert author_of(cluster, namespace) == "eve"
    wanted["spec"]["paused"] = True
    cluster.kubectl("replace", "-n", namespace, "--as=dev", "-f", "-", input=json.dumps(wanted))
    assert author_of(cluster, namespace) == "eve", "nothing of the spec was changed"


async def test_the_operator_reads_decisions_and_makes_none(people: People, operator_kube: Kube) -> None:
    people.give("sue", verbs=("pause",))
    people.create(decision("pause", "sue"), user="sue")
    path = f"/apis/pilotage.dev/v1alpha1/namespaces/{people.namespace}/pilotdecisions"
    assert [each["metadata"]["name"] for each in (await operator_kube.get(path))["items"]] == ["d1"]
    await is_forbidden(operator_kube.create(path, decision("pause", "sue", "another")))
    await is_forbidden(operator_kube.patch(f"{path}/d1", {"spec": {"by": "tom"}}, content_type="merge"))
    await is_forbidden(delete(operator_kube, f"{path}/d1"))


@pytest.mark.usefixtures("installed")
def test_the_api_server_finds_no_type_error_in_the_policies(cluster: Cluster) -> None:
    policies = json.loads(cluster.kubectl("get", "validatingadmissionpolicies", "-o", "json"))["items"]
    ours = [policy for policy in policies if policy["metadata"]["name"] in ("pilotage-decisions", "pilotage-author")]
    assert len(ours) == 2
    assert not [policy for policy in ours if policy["status"].get("typeChecking", {}).get("expressionWarnings")]


@pytest.fixture(scope="module")
def operator(installed: Installed) -> Iterator[Replica]:
    """Give an operator that leads, with the chart's rights, a flag service, and no Prometheus: gates need none."""
    with ProcessGroup(prefix="pilotage-gates-") as processes:
        yield start_leader(processes, installed, prometheus="http://127.0.0.1:9")


@pytest.fixture
def rollouts(cluster: Cluster, enrolled: str, operator: Replica) -> Iterator[Rollouts]:
    yield Rollouts(cluster, enrolled)
    cluster.kubectl("delete", "pilots", "--all", "-n", enrolled, "--timeout=30s")
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


QUORUM = {"name": "expansion", "forbidAuthor": True, "quorum": [{"role": "security"}, {"role": "engineering"}]}


def steps(*gates: str) -> list[dict[str, Any]]:
    return [
        {"name": "few", "percent": 10, "hold": "1s"},
        {"name": "some", "percent": 20, "hold": "1s"},
        {"name": "all", "percent": 100, "gates": list(gates)},
    ]


def message_of(rollouts: Rollouts) -> str:
    return str(rollouts.status("search").get("message", ""))


def test_a_quorum_opens_the_gate_and_the_authors_own_approval_does_not_count(
    cluster: Cluster, rollouts: Rollouts
) -> None:
    people = People(cluster, rollouts.namespace)
    cluster.kubectl("create", "rolebinding", "dev", "-n", people.namespace, "--clusterrole=edit", "--user=dev")
    for user, role in (("dev", "engineering"), ("eng", "engineering"), ("sue", "security")):
        people.give(user, gate=f"expansion.{role}")
    spec = {"feature": {"flag": "search"}, "interval": "1s", "gates": [QUORUM], "steps": steps("expansion")}
    wanted = {**rollout(), "spec": spec}
    people.create_in_time(wanted, user="dev")
    rollouts.wait_for("search", phase="AwaitingApproval")
    assert "gate expansion: needs 1 of security, 1 of engineering" in message_of(rollouts)
    people.decide("proceed", "dev", gate="expansion", role="engineering")
    wait_until(lambda: "Refuse" in rollouts.actions("search"), "the author's approval to be refused")
    first = people.decide("proceed", "sue", gate="expansion", role="security", reason="pen test passed")
    wait_until(lambda: "needs 1 of engineering" in message_of(rollouts), "the approval to be heeded")
    cluster.kubectl("delete", "decision", first, "-n", people.namespace)
    people.decide("proceed", "eng", gate="expansion", role="engineering")
    status = rollouts.wait_for("search", phase="Completed")
    told_of = {entry["action"]: entry["message"] for entry in status["history"]}
    assert "nobody approves their own change" in told_of["Refuse"]
    approvals = [entry["message"] for entry in status["history"] if entry["action"] == "Approve"]
    assert approvals[0] == ("sue approved gate expansion as security; it still needs 1 of engineering: pen test passed")
    assert len(approvals) == 2
    assert ("Normal", "Approved") in rollouts.events("search")


def test_after_the_deadline_users_are_returned_a_step(rollouts: Rollouts) -> None:
    gate = {"name": "board", "deadline": "2s", "onDeadline": "return"}
    rollouts.apply("search", gates=[gate], steps=[{**step, "hold": "1s"} for step in steps("board")])
    wait_until(lambda: "Return" in rollouts.actions("search"), "users to be returned")
    [entry] = [each for each in rollouts.status("search")["history"] if each["action"] == "Return"][:1]
    assert entry["step"] == "few"
    assert entry["reason"] == "DeadlinePassed"
    assert entry["message"].startswith("gate board of step all was not approved within 2s")


def test_a_person_pauses_resumes_extends_and_rolls_back_each_once(cluster: Cluster, rollouts: Rollouts) -> None:
    people = People(cluster, rollouts.namespace)
    people.give("sue", verbs=("pause", "resume", "extend", "rollback", "acknowledge"))
    rollouts.apply("search", steps=[{"name": "few", "percent": 10, "hold": "1h"}])
    wait_until(lambda: rollouts.is_in_force("search"), "the step to be in force")
    people.decide("pause", "sue", reason="the team is away")
    rollouts.wait_for("search", phase="Paused")
    assert message_of(rollouts) == "paused by sue: the team is away"
    people.decide("resume", "sue")
    rollouts.wait_for("search", phase="Progressing")
    people.decide("extend", "sue", extendBy="2d")
    wait_until(lambda: message_of(rollouts) == "step few is held for 2d1h", "the extension")
    people.decide("rollback", "sue", reason="customers complain")
    rollouts.wait_for("search", phase="RolledBack")
    assert rollouts.flag("search")["metadata"]["pilotage.exposure"] == "off"
    people.decide("acknowledge", "sue")
    wait_until(lambda: "Acknowledge" in rollouts.actions("search"), "the acknowledgement")
    actions = rollouts.actions("search")
    assert actions == ["Start", "Pause", "Resume", "Extend", "RollBack", "RolledBack", "Acknowledge"]
