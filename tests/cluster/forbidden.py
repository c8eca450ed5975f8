"""How tests of rights say that the API server refuses."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pilotage.kube import Kube, KubeError
from testbed import eventually

FLAG_LABELS = {"app.kubernetes.io/managed-by": "pilotage", "pilotage.dev/flags": "true"}


async def is_forbidden(request: Awaitable[Any]) -> str:
    """Assert that the API server refuses a request for want of rights; returns what it said."""
    with pytest.raises(KubeError) as refused:
        await request
    assert (refused.value.status, refused.value.reason) == (403, "Forbidden"), refused.value.detail
    return refused.value.detail


async def becomes_forbidden(request: Callable[[], Awaitable[Any]]) -> str:
    """Wait until the API server refuses it: rights and policies that just changed take a moment."""

    async def refused() -> str:
        return await is_forbidden(request())

    return await eventually(refused, "the API server to refuse", seconds=15)


async def write_flags(kube: Kube, namespace: str, name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    """Apply a ConfigMap as the operator does."""
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": FLAG_LABELS if labels is None else labels},
        "data": {"flag.json": "{}"},
    }
    path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
    return await kube.patch(path, body, content_type="apply", field_manager="pilotage", force=True)
