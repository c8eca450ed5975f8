"""Rollouts as a user of kubectl sees them: one namespace's specs, statuses, Events and flags."""

import json
from typing import Any

from testbed import Cluster, wait_until

INDICATOR = {
    "name": "error_ratio",
    "errors": 'sum by (variant) (increase(app_errors_total{job="loop"}[$window]))',
    "total": 'sum by (variant) (increase(app_requests_total{job="loop"}[$window]))',
    "window": "5s",
}


class Rollouts:
    """The rollouts of one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def apply(self, *names: str, **spec: Any) -> None:
        """Create or change rollouts; each has a flag of its own name."""
        said = {"interval": "1s", **spec}
        self.cluster.apply(
            *(
                {
                    "apiVersion": "pilotage.dev/v1alpha1",
                    "kind": "PilotRollout",
                    "metadata": {"name": name, "namespace": self.namespace},
                    "spec": {"feature": {"flag": name}, **said},
                }
                for name in names
            )
        )

    def get(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", "pilot", name, "-o", "json"))
        return found

    def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self.get(name).get("status", {})
        return status

    def wait_for(self, name: str, *, phase: str, seconds: float = 30.0) -> dict[str, Any]:
        """The status with which it is in this phase; the next one may say something else."""

        def reached() -> dict[str, Any]:
            status = self.status(name)
            return status if status.get("phase") == phase else {}

        return wait_until(reached, f"{name} to be {phase}", seconds=seconds)

    def phases(self) -> list[str]:
        return self.kubectl("get", "pilots", "-o", "jsonpath={.items[*].status.phase}").split()

    def actions(self, name: str) -> list[str]:
        return [entry["action"] for entry in self.status(name)["history"]]

    def events(self, name: str) -> list[tuple[str, str]]:
        found = json.loads(self.kubectl("get", "events", "-o", "json"))["items"]
        found = [event for event in found if event["involvedObject"]["name"] == name]
        return [(event["type"], event["reason"]) for event in sorted(found, key=lambda each: each["eventTime"])]

    def flag(self, name: str) -> dict[str, Any]:
        found = json.loads(self.kubectl("get", "configmap", "pilot-flags", "-o", "json"))
        definition: dict[str, Any] = json.loads(found["data"][f"{name}.json"])
        return definition

    def is_in_force(self, name: str) -> bool:
        """Whether the users of the rollout's step were seen to have the feature."""
        return "verifiedTime" in self.status(name).get("step", {})

    def delete(self, name: str, *arguments: str) -> None:
        self.kubectl("delete", "pilot", name, *arguments)

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl(*arguments, "-n", self.namespace)
