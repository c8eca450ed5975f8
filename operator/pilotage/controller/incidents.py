"""PilotIncidents as the watch brings them: which ones concern a rollout, and whom a change of one concerns.

What is not known is told from what is not there: until all are listed, and where one can't be read, a rollout's
incidents are None, so that no criterion passes for want of them.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from pilotage.controller.schedule import Key
from pilotage.controller.store import key_of
from pilotage.judging.incidents import Incident
from pilotage.kube import Kube
from pilotage.resources.base import GROUP
from pilotage.resources.incident import PilotIncident, PilotIncidentSpec

_LOG = logging.getLogger(__name__)
_DEFINITION = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{PilotIncident.plural}.{GROUP}"


@dataclass(frozen=True, slots=True)
class _Kept:
    """One PilotIncident; `concerns` is a rollout, or a namespace if its name is empty."""

    version: int
    concerns: Key
    incident: Incident | None


class IncidentStore:
    """All incidents, by the rollouts that they concern."""

    def __init__(self) -> None:
        self._kept: dict[Key, _Kept] = {}
        self._concerning: dict[Key, dict[Key, Incident | None]] = {}
        self.recorded_since: datetime | None = None
        """Since when incidents can be recorded in this cluster; None until all are listed."""

    def put(self, body: Mapping[str, Any]) -> frozenset[Key]:
        """Keep an incident, if it is newer; returns whom the change concerns: a name may be empty, for all."""
        key, made = key_of(body), _keep(body)
        before = self._kept.get(key)
        if before is not None and made.version <= before.version:
            return frozenset()
        self._drop(key)
        self._kept[key] = made
        self._concerning.setdefault(made.concerns, {})[key] = made.incident
        if before is None:
            return frozenset({made.concerns})
        unchanged = (before.concerns, before.incident) == (made.concerns, made.incident)
        return frozenset() if unchanged else frozenset({before.concerns, made.concerns})

    def remove(self, key: Key, version: int) -> frozenset[Key]:
        """It was gone at this resourceVersion; returns whom that concerns."""
        before = self._kept.get(key)
        if before is None or before.version > version:
            return frozenset()
        self._drop(key)
        return frozenset({before.concerns})

    def of(self, rollout: Key) -> tuple[Incident, ...] | None:
        """The incidents of a rollout and of all its namespace; None if they are not known."""
        if self.recorded_since is None:
            return None
        found: list[Incident] = []
        for concerns in (rollout, Key(rollout.namespace, "")):
            for incident in self._concerning.get(concerns, {}).values():
                if incident is None:
                    return None
                found.append(incident)
        return tuple(found)

    @property
    def versions(self) -> dict[Key, int]:
        """The resourceVersions of all."""
        return {key: kept.version for key, kept in self._kept.items()}

    def _drop(self, key: Key) -> None:
        before = self._kept.pop(key, None)
        if before is None:
            return
        others = self._concerning[before.concerns]
        del others[key]
        if not others:
            del self._concerning[before.concerns]


def _keep(body: Mapping[str, Any]) -> _Kept:
    key, spec = key_of(body), body.get("spec", {})
    incident: Incident | None = None
    try:
        read = PilotIncidentSpec.model_validate(spec)
        incident = Incident(read.severity, read.started_time, read.resolved_time, key.name)
    except ValidationError:
        _LOG.exception("PilotIncident %s can't be read", key)
    return _Kept(int(body["metadata"]["resourceVersion"]), Key(key.namespace, spec.get("rollout") or ""), incident)


async def recorded_since(kube: Kube) -> datetime:
    """Since when incidents can be recorded in this cluster.

    Raises:
        KubeError: the API server does not say.
    """
    definition = await kube.get(_DEFINITION)
    return datetime.fromisoformat(definition["metadata"]["creationTimestamp"])
