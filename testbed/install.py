"""Gives a cluster what the chart installs, but for the pods: definitions, rights and the guard of the API server.

Without a container engine the operator and the flag service run beside the cluster as plain processes. They still have
only the rights of the chart's ServiceAccounts: this module hands out kubeconfigs with their tokens. What it applies is
`crds/` and `charts/manifests/`, which tests keep equal to what helm renders, so that a demo needs no helm.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from testbed.chart import AUTHOR, CRDS, ENROLMENT, INSTALL, NAMESPACE, TENANT, objects
from testbed.cluster import Cluster
from testbed.waiting import wait_until

OPERATOR = "pilotage-operator"
FLAGS = "pilotage-flags"
_APPLY = ("--server-side", "--force-conflicts", "--validate=strict")
_PODS = frozenset({"Deployment", "Service", "PodDisruptionBudget"})


@dataclass(frozen=True, slots=True)
class Installed:
    """What the processes beside the cluster need.

    Attributes:
        cluster: where it is installed.
        namespace: of the ServiceAccounts and the Lease.
        operator_kubeconfig: with the operator's rights and no others.
        flags_kubeconfig: with the flag service's rights and no others.
    """

    cluster: Cluster
    namespace: str
    operator_kubeconfig: Path
    flags_kubeconfig: Path

    def enrol(self, namespace: str) -> None:
        """Let the operator write flags in this namespace, and the flag service read them."""
        enrol(self.cluster, namespace)

    def enrol_tenant(self, namespace: str) -> None:
        """Let the operator keep in this namespace what a TenantQuota asks for."""
        enrol_tenant(self.cluster, namespace)

    def flag_service_token(self) -> str:
        """Return a token of the operator's that is good for the flag service only, as the chart mounts it."""
        return self.cluster.kubectl(
            "create", "token", OPERATOR, "--namespace", self.namespace, "--audience=pilotage-flags"
        ).strip()


def install(cluster: Cluster) -> Installed:
    """Apply everything of the chart but the pods, and wait until the API server works by it.

    Raises:
        KubectlError: the API server refused something, or the definitions were not established in time.
    """
    cluster.kubectl("apply", *_APPLY, "-f", str(CRDS))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRDS))
    wanted = [found for found in objects(INSTALL.read_text()) if found["kind"] not in _PODS]
    if "mutatingadmissionpolicies" in cluster.kubectl("api-resources", "--api-group=admissionregistration.k8s.io"):
        wanted += objects(AUTHOR.read_text())
    cluster.kubectl(
        "apply", *_APPLY, "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": wanted})
    )
    installed = Installed(
        cluster=cluster,
        namespace=NAMESPACE,
        operator_kubeconfig=cluster.kubeconfig_for_service_account(NAMESPACE, OPERATOR),
        flags_kubeconfig=cluster.kubeconfig_for_service_account(NAMESPACE, FLAGS),
    )
    _wait_for_rights(installed)
    return installed


def enrol(cluster: Cluster, namespace: str) -> None:
    """Create the RoleBindings of an enrolled namespace, as the chart renders them.

    Raises:
        KubectlError: there is no such namespace, or Pilotage is not installed.
    """
    cluster.kubectl("apply", "--server-side", f"--namespace={namespace}", "-f", str(ENROLMENT))
    wait_until(
        lambda: _may(cluster, OPERATOR, "patch", "configmaps", namespace), "the API server to know the new rights"
    )


def enrol_tenant(cluster: Cluster, namespace: str) -> None:
    """Create the RoleBindings of a tenant's namespace, as the chart renders them.

    Raises:
        KubectlError: there is no such namespace, or Pilotage is not installed.
    """
    cluster.kubectl("apply", "--server-side", f"--namespace={namespace}", "-f", str(TENANT))
    wait_until(
        lambda: (
            _may(cluster, OPERATOR, "patch", "rolebindings.rbac.authorization.k8s.io", namespace)
            and _may(cluster, OPERATOR, "patch", "horizontalpodautoscalers.autoscaling", namespace)
        ),
        "the API server to know the new rights",
    )


def _wait_for_rights(installed: Installed) -> None:
    """Wait for the roles: an authorizer reads them by watch, and lags behind what was just applied."""
    wait_until(
        lambda: _may(installed.cluster, OPERATOR, "patch", "pilotrollouts.pilotage.dev", "default"),
        "the API server to know the new rights",
    )


def _may(cluster: Cluster, account: str, verb: str, resource: str, namespace: str) -> bool:
    name = f"system:serviceaccount:{NAMESPACE}:{account}"
    # `no` is an exit status of 1, and so a KubectlError, which wait_until takes for "not yet".
    return cluster.kubectl("auth", "can-i", verb, resource, f"--namespace={namespace}", f"--as={name}").strip() == "yes"
