"""What was there before the watch, and what the watch has lost: both are listed by ourselves.

kopf has no end marker for its first list, after an expired watch it lists again without saying what is gone, and where
the connection breaks in the middle of a list it goes on without the rest.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

from pilotage.controller.clock import Clock
from pilotage.controller.schedule import Key
from pilotage.kube import Kube, KubeError
from pilotage.kube_lists import list_objects, list_versions
from pilotage.resources.base import GROUP, VERSION, Resource
from pilotage.resources.decision import PilotDecision
from pilotage.resources.incident import PilotIncident
from pilotage.resources.indicators import IndicatorTemplate
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.tenant import TenantQuota

_LOG = logging.getLogger(__name__)
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KINDS: tuple[type[Resource], ...] = (
    IndicatorTemplate,
    TenantQuota,
    PilotIncident,
    PilotDecision,
    PilotRollout,
)
"""What is listed and watched; rollouts come last, when what they refer to is known."""

SWEEP_SECONDS = 3600.0
"""How often is looked for what the watch has lost, besides after each of its lists."""
SETTLE_SECONDS = 5.0
"""A list of the watch is over when it has brought nothing for so long."""

T = TypeVar("T")
Sink = Callable[[str, str | None, dict[str, Any]], None]
"""Takes a plural, a watch event's type (None: it was there when we came) and the object."""


async def wait_for_kinds(kube: Kube, clock: Clock) -> None:
    """Return when the API server serves our kinds; kopf would silently never serve a kind that comes later."""
    said = ""
    while missing := await _missing_kinds(kube):
        if missing != said:
            _LOG.error("%s; install the CRDs of this release (folder crds/, or the chart)", missing)
            said = missing
        await clock.sleep(2.0)


async def _missing_kinds(kube: Kube) -> str:
    for kind in KINDS:
        name = f"{kind.plural}.{GROUP}"
        try:
            crd = await kube.get(f"{_CRDS}/{name}")
        except KubeError as error:
            return f"CustomResourceDefinition {name}: {error}"
        served = any(each["name"] == VERSION and each["served"] for each in crd["spec"]["versions"])
        conditions = crd.get("status", {}).get("conditions") or ()  # null at first
        established = any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
        if not (served and established):
            return f"CustomResourceDefinition {name} does not serve {VERSION}, or is not Established yet"
    return ""


async def list_all(kube: Kube, clock: Clock, sink: Sink) -> None:
    """Hand on everything that exists, for as long as it takes."""
    for kind in KINDS:
        await until_answered(clock, partial(_list, kube, kind, sink), f"can't list {kind.plural}")


async def _list(kube: Kube, kind: type[Resource], sink: Sink) -> None:
    async for body in list_objects(kube, kind.path()):
        sink(kind.plural, None, body)


class Known(Protocol):
    """A store, as a sweep reads it."""

    @property
    def versions(self) -> Mapping[Key, int]:
        """The resourceVersions of all; the namespace is empty for what has none."""
        ...


async def sweep(kube: Kube, kind: type[Resource], store: Known, sink: Sink) -> None:
    """Hand on what is gone without a word, and what came or has changed without one.

    Args:
        kube: the API server.
        kind: what to look for.
        store: what is known of it.
        sink: as for the watch.

    Raises:
        KubeError: it could not be listed; nothing was forgotten.
    """
    version, listed = await list_versions(kube, kind.path())
    kept = store.versions
    for namespace, name in set(kept) - set(listed):
        _LOG.info("swept: it was deleted unseen", extra={"kind": kind.kind, "namespace": namespace, "object": name})
        metadata = {"namespace": namespace, "name": name, "resourceVersion": str(version)}
        sink(kind.plural, "DELETED", {"metadata": metadata})
    for (namespace, name), newest in listed.items():
        if newest > kept.get(Key(namespace, name), 0):
            await _read(kube, kind, namespace, name, sink)


async def _read(kube: Kube, kind: type[Resource], namespace: str, name: str, sink: Sink) -> None:
    try:
        body = await kube.get(kind.path(namespace, name))
    except KubeError as error:
        if error.reason != "NotFound":
            raise
        return
    sink(kind.plural, "MODIFIED", body)


async def until_answered(clock: Clock, call: Callable[[], Awaitable[T]], failing: str) -> T:
    """What a call brings, which is tried again for as long as the API server fails."""
    while True:
        try:
            return await call()
        except KubeError as error:
            _LOG.warning("%s: %s", failing, error)
            await clock.sleep(1.0)
