"""Values that set everything the chart lets one set, and short ways into what helm renders."""

from collections.abc import Iterable
from typing import Any

EVERYTHING: dict[str, Any] = {
    "fullnameOverride": "pilots",
    "image": {"digest": f"sha256:{'0' * 64}", "pullSecrets": ["registry"], "pullPolicy": "Always"},
    "crds": {"keep": False},
    "enrolledNamespaces": ["shop", "shop-staging"],
    "enrolledTenants": ["shop"],
    "prometheus": {
        "url": "https://thanos.example.com/api",
        "tokenSecret": "thanos",
        "caSecret": "thanos-ca",
        "tenantLabel": "namespace",
    },
    "logLevel": "debug",
    "rights": {"aggregate": True, "guard": True, "author": "always"},
    "record": {"file": {"enabled": True, "claim": "decisions", "maxMebibytes": 8, "keep": 3}},
    "operator": {
        "replicas": 3,
        "maxAdvancing": 20,
        "resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        "terminationGracePeriodSeconds": 60,
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "podAnnotations": {"example.com/note": "x"},
        "podLabels": {"team": "platform"},
    },
    "flagService": {
        "replicas": 4,
        "resources": {"limits": {"memory": "1Gi"}},
        "terminationGracePeriodSeconds": 10,
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "podAnnotations": {"example.com/note": "y"},
        "podLabels": {"team": "platform"},
        "service": {"port": 443},
        "tls": {"secretName": "own-certificate"},
    },
    "networkPolicy": {
        "enabled": True,
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "flagsFrom": [{"namespaceSelector": {"matchLabels": {"flags": "yes"}}, "podSelector": {}}],
    },
}


def of_kind(rendered: Iterable[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The objects of a kind."""
    return [found for found in rendered if found["kind"] == kind]


def deployment(rendered: Iterable[dict[str, Any]], component: str) -> dict[str, Any]:
    """The Deployment of a component: `operator` or `flags`."""
    [found] = [
        found for found in of_kind(rendered, "Deployment") if found["metadata"]["name"].endswith(f"-{component}")
    ]
    return found


def container(rendered: Iterable[dict[str, Any]], component: str) -> dict[str, Any]:
    """The one container of a component's pods."""
    [found] = deployment(rendered, component)["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found
