"""What the admission tests share: a small valid rollout to spoil, and what `kubectl apply` says of an object."""

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest

from testbed import Cluster
from testbed.cluster import KubectlError

Object = dict[str, Any]

_SPEC: Object = {
    "feature": {"flag": "search"},
    "audience": {
        "population": {"users": 1000},
        "cohorts": [
            {"name": "power-users", "criteria": "orders > 10"},
            {"name": "mobile-users", "criteria": "device == 'mobile'"},
        ],
    },
    "indicators": [{"name": "errors", "errors": "http_errors_total", "total": "http_requests_total"}],
    "steps": [{"name": "first", "users": 10}, {"name": "everyone", "percent": 100}],
}


def rollout(changes: Mapping[str, Any] | None = None, name: str = "search") -> Object:
    """A valid rollout with changes by path: `{"steps.0.users": 0, "audience.population": None}`; None removes it."""
    spec = copy.deepcopy(_SPEC)
    for path, value in (changes or {}).items():
        put(spec, path, value)
    return {"apiVersion": "pilotage.dev/v1alpha1", "kind": "PilotRollout", "metadata": {"name": name}, "spec": spec}


def template(spec: Mapping[str, Any], name: str = "test-template") -> Object:
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "IndicatorTemplate",
        "metadata": {"name": name},
        "spec": dict(spec),
    }


def put(where: Any, path: str, value: Any) -> None:
    *parents, last = (int(key) if key.isdecimal() else key for key in path.split("."))
    for key in parents:
        where = where[key] if isinstance(key, int) else where.setdefault(key, {})
    if value is None:
        del where[last]
    else:
        where[last] = value


def apply(cluster: Cluster, namespace: str, wanted: Object, *arguments: str) -> Object:
    """The object as it is stored. Applied as users do, one by one: kubectl checks the items of a List by itself."""
    command = ["apply", f"--namespace={namespace}", *arguments, "-o", "json", "-f", "-"]
    stored: Object = json.loads(cluster.kubectl(*command, input=json.dumps(wanted)))
    return stored


def refusal(cluster: Cluster, namespace: str, wanted: Object, *arguments: str) -> str:
    """What a user reads when `kubectl apply` refuses the object."""
    with pytest.raises(KubectlError) as caught:
        apply(cluster, namespace, wanted, *arguments)
    return caught.value.stderr


def told(said: str, field: str, message: str) -> bool:
    """Whether one line of what was said names the field and tells the message."""
    return any(field in line and message in line for line in said.splitlines())
