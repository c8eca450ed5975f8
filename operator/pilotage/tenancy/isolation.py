"""The network of dedicated tenants: closed, but for what every application needs.

NetworkPolicies add up: what more a tenant needs (an ingress gateway, a scraper, a database), the platform team allows
by policies of its own beside this one.
"""

from collections.abc import Collection
from typing import Any

from pilotage.resources.tenant import TenantQuotaSpec
from pilotage.tenancy.objects import Sort, Wanted

NETWORK_POLICY = Sort("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
NAME = "tenant-isolation"

_NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""A label that the API server sets on each namespace, and lets nobody change."""

_DNS_NAMESPACE = "kube-system"
_DNS_PORT = 53
_FLAGS_PORT = 8015


def policies(spec: TenantQuotaSpec, namespace: str, *, namespaces: Collection[str], system: str) -> tuple[Wanted, ...]:
    """The NetworkPolicy of one namespace of a dedicated tenant; none for shared ones.

    Pods talk to those of the tenant's namespaces, to the cluster's DNS, and to the flag service; to nobody else, and
    nobody else to them.

    Args:
        spec: the TenantQuota's.
        namespace: one of the tenant's.
        namespaces: all that are the tenant's alone; what another TenantQuota claims too is not trusted.
        system: namespace of the flag service.
    """
    if spec.isolation == "shared":
        return ()
    own = {"namespaceSelector": _named(*sorted({namespace, *namespaces}))}
    dns = {
        "ports": [{"port": _DNS_PORT, "protocol": protocol} for protocol in ("TCP", "UDP")],
        "to": [{"namespaceSelector": _named(_DNS_NAMESPACE)}],
    }
    flags = {
        "ports": [{"port": _FLAGS_PORT, "protocol": "TCP"}],
        "to": [
            {
                "namespaceSelector": _named(system),
                "podSelector": {
                    "matchLabels": {"app.kubernetes.io/component": "flags", "app.kubernetes.io/name": "pilotage"}
                },
            }
        ],
    }
    closed = {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [own]}],
        "egress": [{"to": [own]}, dns, flags],
    }
    return (Wanted(NETWORK_POLICY, namespace, NAME, {"spec": closed}, exact=("spec",)),)


def _named(*names: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": _NAMESPACE_NAME, "operator": "In", "values": list(names)}]}
