"""Fake nodes for kwok: the pods that the scheduler puts on them become ready without a kubelet."""

import json
from collections.abc import Sequence
from typing import Any, Protocol


class _Kubectl(Protocol):
    def __call__(self, arguments: Sequence[str], *, text: str | None = None) -> str: ...


def apply_nodes(kubectl: _Kubectl, *, count: int) -> None:
    """Create `count` nodes named node-1, node-2, ...; kwok makes them ready within a second or so."""
    items = [_node(f"node-{number}") for number in range(1, count + 1)]
    kubectl(["apply", "-f", "-"], text=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def _node(name: str) -> dict[str, Any]:
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
