"""A tenant that means harm, and its victim: each has a namespace and a TenantQuota, and the attacker its own token."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed import Cluster, KubectlError, wait_until
from testbed.install import Installed
from tests.cluster.rollouts import Rollouts
from tests.cluster.tenants import measured

STEPS = [{"name": "all", "percent": 100, "hold": "1s"}]
ACCOUNT = "attacker"


@dataclass(frozen=True, slots=True)
class Land:
    """Both tenants, on a cluster where the operator runs.

    Attributes:
        cluster: with an administrator's rights.
        attackers: namespace and name of the TenantQuota of the attacker.
        victims: the same of the victim.
        kubeconfig: with the attacker's rights: what the operator has given it by the TenantQuota, and nothing else.
    """

    cluster: Cluster
    attackers: str
    victims: str
    kubeconfig: Path

    def attack(self, *arguments: str, sent: dict[str, Any] | None = None) -> str:
        """Run kubectl as the attacker."""
        asked = [*arguments, *(["-f", "-"] if sent else []), f"--kubeconfig={self.kubeconfig}"]
        return self.cluster.kubectl(*asked, input=json.dumps(sent) if sent else None)

    def refused(self, *arguments: str, sent: dict[str, Any] | None = None) -> str:
        """What the attacker reads; fails if it is let through."""
        try:
            said = self.attack(*arguments, sent=sent)
        except KubectlError as error:
            return error.stderr
        raise AssertionError(f"the API server lets the attacker: {said}")

    def rollout(self, name: str, namespace: str = "", **spec: Any) -> dict[str, Any]:
        """A PilotRollout; in the attacker's namespace unless another is said."""
        return {
            "apiVersion": "pilotage.dev/v1alpha1",
            "kind": "PilotRollout",
            "metadata": {"name": name, "namespace": namespace or self.attackers},
            "spec": {"feature": {"flag": name}, "interval": "1s", "steps": STEPS, **spec},
        }

    def create(self, name: str, **spec: Any) -> dict[str, Any]:
        """Create a rollout as the attacker; gives what the API server has made of it."""
        made: dict[str, Any] = json.loads(self.attack("create", "-o", "json", sent=self.rollout(name, **spec)))
        return made

    def quota(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.cluster.kubectl("get", "tq", name, "-o", "json"))
        return found

    def limit(self, compute: dict[str, Any]) -> None:
        """Let the platform team limit the attacker's namespace."""
        patch = [{"op": "add", "path": "/spec/compute", "value": compute}]
        self.cluster.kubectl("patch", "tq", self.attackers, "--type=json", "-p", json.dumps(patch))

    @property
    def own(self) -> Rollouts:
        """The attacker's rollouts, as an administrator sees them."""
        return Rollouts(self.cluster, self.attackers)

    @property
    def others(self) -> Rollouts:
        """The victim's."""
        return Rollouts(self.cluster, self.victims)


@contextmanager
def settle(installed: Installed) -> Iterator[Land]:
    """Make both; when this returns, the operator has given the attacker its rights."""
    cluster, mark = installed.cluster, secrets.token_hex(4)
    attackers, victims = f"attacker-{mark}", f"victim-{mark}"
    for name in (attackers, victims):
        cluster.kubectl("create", "namespace", name)
        installed.enrol(name)
        installed.enrol_tenant(name)
    cluster.kubectl("create", "serviceaccount", ACCOUNT, "-n", attackers)
    land = Land(cluster, attackers, victims, cluster.kubeconfig_for_service_account(attackers, ACCOUNT))
    access = {
        "applications": [{"namespace": attackers, "name": ACCOUNT}],
        "metrics": [{"label": "tenant", "value": attackers}],
    }
    _apply_quota(cluster, attackers, access=access, isolation="dedicated-shard")
    _apply_quota(cluster, victims)
    try:
        wait_until(lambda: land.attack("auth", "can-i", "create", "pilots", "-n", attackers), "the rights", seconds=60)
        yield land
    finally:
        for name in (attackers, victims):
            cluster.kubectl("delete", "pilots", "--all", "-n", name, "--timeout=100s", seconds=120)
            cluster.kubectl("delete", "tq", name, "--ignore-not-found")
            cluster.kubectl("delete", "namespace", name, "--wait=false")


def _apply_quota(cluster: Cluster, name: str, **spec: Any) -> None:
    cluster.apply(
        {
            "apiVersion": "pilotage.dev/v1alpha1",
            "kind": "TenantQuota",
            "metadata": {"name": name},
            "spec": {"namespaces": [name], "resources": [measured("vectors")], **spec},
        }
    )
