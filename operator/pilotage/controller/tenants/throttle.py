"""Keeps the throttle's decision where services and gateways read it.

In each namespace of a tenant that may be throttled lies a ConfigMap `tenant-throttle`: `state` is `throttled` or
`open`, `decision` says how much of what (as JSON), and `tenant-throttle.json` is the same as a boolean flag that the
flag service brings to OpenFeature clients. Where Envoy Gateway is installed, a BackendTrafficPolicy limits the routes
and gateways that the TenantQuota names. What is in force stays in force while usage is unknown.
"""

import json
from datetime import datetime
from typing import Any

from pilotage.controller.clock import Clock
from pilotage.controller.tenants.keeping import Kept, Seen
from pilotage.controller.tenants.owned import TENANT_LABEL, NotOursError, Owned, OwnedObject
from pilotage.delivery.forms import LABELS
from pilotage.kube import Kube, KubeError
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_usage import ThrottleTarget
from pilotage.rollout.flagd import REVISION, Definition
from pilotage.tenancy.throttling import ThrottleOrder, may_throttle, throttles_of

NAME = "tenant-throttle"
FLAG = "tenant-throttle"
ENVOY_GATEWAY = "gateway.envoyproxy.io/v1alpha1"
LOOK_AGAIN_SECONDS = 60.0
_GATEWAY_API = "gateway.networking.k8s.io"
_NOT_FOUND, _FORBIDDEN = 404, 403
_LONGEST_NAME = 253


class ThrottleKeeper:
    """Keeps the decision.

    Args:
        kube: asked whether Envoy Gateway is installed, and for the policies that are there.
        owned: what writes objects.
        clock: what time it is.
    """

    name = "throttle"

    def __init__(self, kube: Kube, owned: Owned, clock: Clock) -> None:
        self._kube = kube
        self._owned = owned
        self._clock = clock
        self._has_envoy = False
        self._looked_at: float | None = None

    async def keep(self, seen: Seen, now: datetime) -> Kept:  # noqa: ARG002 - keepers are told the time
        """Publish what is in force, and take away what is in force no longer."""
        tenant, report = seen.tenant, _Report()
        namespaces = seen.namespaces
        orders = throttles_of(tenant)
        publishes = any(map(may_throttle, tenant.spec.resources))
        for namespace in namespaces if publishes else ():
            await self._apply(tenant, decision_of(tenant, namespace, orders), report)
        gone = [each.name for each in tenant.status.namespaces if each.state in ("Leaving", "Conflict")]
        for namespace in (*gone, *(() if publishes else namespaces)):
            await self._remove(tenant, path_of(namespace), report)
        if await self._finds_envoy():
            for namespace in namespaces:
                await self._limit(tenant, namespace, orders, report)
            for namespace in gone:
                await self._limit(tenant, namespace, (), report)
        return Kept(conflicts=tuple(report.conflicts), failures=tuple(report.failures))

    def forget(self, tenant: str) -> None:
        """It is gone; the garbage collector takes what it owned."""

    async def _limit(
        self, tenant: TenantQuota, namespace: str, orders: tuple[ThrottleOrder, ...], report: "_Report"
    ) -> None:
        """Bring the policies of one namespace about; what is there is found by its label, also after a restart."""
        wanted = {each.path: each for each in policies_of(tenant, namespace, orders)}
        for policy in wanted.values():
            await self._apply(tenant, policy, report)
        collection = f"/apis/{ENVOY_GATEWAY}/namespaces/{namespace}/backendtrafficpolicies"
        query = {"labelSelector": f"{TENANT_LABEL}={tenant.metadata.name}"}
        try:
            found = await self._kube.get(collection, query=query)
        except KubeError as error:
            if error.status not in (_NOT_FOUND, _FORBIDDEN) or wanted:
                report.failures.append(f"BackendTrafficPolicies in namespace {namespace}: {error.reason}")
            return
        for each in found["items"]:
            path = f"{collection}/{each['metadata']['name']}"
            if path not in wanted:
                await self._remove(tenant, path, report)

    async def _apply(self, tenant: TenantQuota, wanted: OwnedObject, report: "_Report") -> None:
        try:
            await self._owned.keep(tenant, wanted)
        except NotOursError as error:
            report.conflicts.append(str(error))
        except KubeError as error:
            report.failures.append(f"{wanted.title}: the API server answered {error.status} {error.reason}")

    async def _remove(self, tenant: TenantQuota, path: str, report: "_Report") -> None:
        try:
            await self._owned.remove(tenant, path)
        except KubeError as error:
            if error.status not in (_NOT_FOUND, _FORBIDDEN):  # where there are no rights, there is nothing of ours
                report.failures.append(f"{path.rpartition('/')[2]} could not be removed: {error.reason}")

    async def _finds_envoy(self) -> bool:
        """Whether Envoy Gateway's kinds are served; asked for now and then."""
        asked = self._clock.monotonic()
        if self._looked_at is not None and asked - self._looked_at < LOOK_AGAIN_SECONDS:
            return self._has_envoy
        try:
            found = await self._kube.get(f"/apis/{ENVOY_GATEWAY}")
        except KubeError as error:
            if error.status != _NOT_FOUND:
                raise
            found = {}
        self._has_envoy = any(each.get("name") == "backendtrafficpolicies" for each in found.get("resources") or ())
        # Where it is not installed it may be soon; where throttles are written, ask again all the same: it may go.
        self._looked_at = asked
        return self._has_envoy


class _Report:
    """What went wrong in one run."""

    def __init__(self) -> None:
        self.conflicts: list[str] = []
        self.failures: list[str] = []


def path_of(namespace: str) -> str:
    """Of the decision."""
    return f"/api/v1/namespaces/{namespace}/configmaps/{NAME}"


def decision_of(tenant: TenantQuota, namespace: str, orders: tuple[ThrottleOrder, ...]) -> OwnedObject:
    """The ConfigMap that services and gateways read."""
    told = {
        "tenant": tenant.metadata.name,
        "throttled": bool(orders),
        "limits": [
            {
                "resource": each.resource,
                "requests": each.requests,
                "unit": each.how.unit,
                "methods": list(each.how.methods),
                "reason": each.message,
            }
            for each in orders
        ],
    }
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": namespace, "labels": LABELS},
        "data": {
            "tenant": tenant.metadata.name,
            "state": "throttled" if orders else "open",
            "decision": json.dumps(told, indent=1, sort_keys=True),
            f"{FLAG}.json": json.dumps(flag_of(tenant, orders), separators=(",", ":"), sort_keys=True),
        },
    }
    return OwnedObject(path_of(namespace), body)


def flag_of(tenant: TenantQuota, orders: tuple[ThrottleOrder, ...]) -> Definition:
    """The decision as a boolean flag in flagd's format, with a rule: without one, clients that ask by RPC keep it."""
    variant = "on" if orders else "off"
    limits = {f"pilotage.limit.{each.resource}": f"{each.requests}/{each.how.unit}" for each in orders}
    return {
        "state": "ENABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": variant,
        "targeting": {"if": [True, variant, variant]},
        # A revision marks it as ours: another definition under this key, written by a tenant, is not served.
        "metadata": {REVISION: 1, "pilotage.tenant": tenant.metadata.name, **limits},
    }


def policies_of(tenant: TenantQuota, namespace: str, orders: tuple[ThrottleOrder, ...]) -> tuple[OwnedObject, ...]:
    """The BackendTrafficPolicies of a namespace: one for each target, because Envoy Gateway heeds one for each."""
    targets: dict[ThrottleTarget, list[ThrottleOrder]] = {}
    for order in orders:
        for target in order.how.targets:
            if target.namespace == namespace:
                targets.setdefault(target, []).append(order)
    return tuple(_policy(tenant, target, limiting) for target, limiting in targets.items())


def _policy(tenant: TenantQuota, target: ThrottleTarget, orders: list[ThrottleOrder]) -> OwnedObject:
    name = f"tq-{tenant.metadata.name}-{target.kind.lower()}-{target.name}"[:_LONGEST_NAME].rstrip("-.")
    scope = "global" if any(each.how.rate_limit == "global" for each in orders) else "local"
    reference = {"group": _GATEWAY_API, "kind": target.kind, "name": target.name}
    body: dict[str, Any] = {
        "apiVersion": ENVOY_GATEWAY,
        "kind": "BackendTrafficPolicy",
        "metadata": {"name": name, "namespace": target.namespace},
        "spec": {
            "targetRefs": [reference],
            "rateLimit": {"type": scope.capitalize(), scope: {"rules": [_rule(each) for each in orders]}},
        },
    }
    path = f"/apis/{ENVOY_GATEWAY}/namespaces/{target.namespace}/backendtrafficpolicies/{name}"
    return OwnedObject(path, body)


def _rule(order: ThrottleOrder) -> dict[str, Any]:
    limit = {"limit": {"requests": order.requests, "unit": order.how.unit}}
    methods = [{"value": method} for method in order.how.methods]
    return {"clientSelectors": [{"methods": methods}], **limit} if methods else limit
