"""TenantQuotas as a platform team sees them, and an application whose usage a test plays."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from testbed import Cluster, wait_until
from testbed.waiting import DeadlineExceededError
from tests.prometheus.exporters import Exporter


class Usage:
    """What tenants use, as the real Prometheus scrapes it: `tenant_usage{tenant, resource}`."""

    def __init__(self) -> None:
        self._gauge: Gauge | None = None
        self.exporter = Exporter(fill=self._fill)

    def _fill(self, registry: CollectorRegistry) -> None:
        self._gauge = Gauge("tenant_usage", "Usage.", ["tenant", "resource", "part"], registry=registry)

    def set(self, tenant: str, resource: str, value: float, part: str = "all") -> None:
        assert self._gauge
        self._gauge.labels(tenant, resource, part).set(value)

    def forget(self, tenant: str, resource: str, part: str = "all") -> None:
        assert self._gauge
        self._gauge.remove(tenant, resource, part)


@contextmanager
def serve_usage() -> Iterator[Usage]:
    """An exporter of usage."""
    usage = Usage()
    with usage.exporter:
        yield usage


def measured(name: str, **more: Any) -> dict[str, Any]:
    """A resource of 1,000 whose usage is the exporter's; judged each second."""
    query = f'tenant_usage{{tenant="$tenant",resource="{name}"}}'
    return {"name": name, "hard": 1000, "usage": {"query": query}, "maxAge": "10s", **more}


class Tenants:
    """The TenantQuotas of a test; they are deleted at its end."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._made: set[str] = set()

    def apply(self, name: str, **spec: Any) -> None:
        """Create or change one."""
        self._made.add(name)
        self.cluster.apply(
            {
                "apiVersion": "pilotage.dev/v1alpha1",
                "kind": "TenantQuota",
                "metadata": {"name": name},
                "spec": spec,
            }
        )

    def get(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.cluster.kubectl("get", "tq", name, "-o", "json"))
        return found

    def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self.get(name).get("status", {})
        return status

    def resource(self, name: str, resource: str) -> dict[str, Any]:
        """How one resource stands; empty before it was looked at."""
        found = [each for each in self.status(name).get("resources", ()) if each["name"] == resource]
        return found[0] if found else {}

    def condition(self, name: str, kind: str) -> tuple[str, str]:
        """Status and reason."""
        found = [each for each in self.status(name).get("conditions", ()) if each["type"] == kind]
        return (found[0]["status"], found[0]["reason"]) if found else ("", "")

    def wait_for(self, name: str, resource: str, seconds: float = 60.0, **fields: str) -> dict[str, Any]:
        """A resource's status, once it has these fields."""

        def standing() -> dict[str, Any]:
            status = self.resource(name, resource)
            return status if all(status.get(field, "") == value for field, value in fields.items()) else {}

        try:
            return wait_until(standing, f"{resource} of {name} to be {fields}", seconds=seconds, every_seconds=0.5)
        except DeadlineExceededError:
            print(json.dumps(self.get(name), indent=1))
            raise

    def wait_for_condition(self, name: str, kind: str, status: str, reason: str, seconds: float = 60.0) -> None:
        wait_until(
            lambda: self.condition(name, kind) == (status, reason),
            f"{name}: {kind} to be {status}",
            seconds=seconds,
            every_seconds=0.5,
        )

    def actions(self, name: str) -> list[str]:
        """What has happened, in order."""
        return [each["action"] for each in self.status(name).get("transitions", ())]

    def events(self, name: str) -> list[tuple[str, str]]:
        found = json.loads(self.cluster.kubectl("get", "events", "-n", "default", "-o", "json"))["items"]
        found = [each for each in found if each["involvedObject"].get("name") == name]
        return [(each["type"], each["reason"]) for each in sorted(found, key=lambda each: each["eventTime"])]

    def config_map(self, namespace: str, name: str) -> dict[str, Any]:
        """The ConfigMap; empty if there is none."""
        found = self.cluster.kubectl("get", "configmap", name, "-n", namespace, "-o", "json", "--ignore-not-found")
        made: dict[str, Any] = json.loads(found) if found.strip() else {}
        return made

    def close(self) -> None:
        for name in sorted(self._made):
            self.cluster.kubectl("delete", "tq", name, "--ignore-not-found")
