"""What is known of all rollouts and templates: what the watch brought last, as small as it goes.

A rollout is kept as compact JSON with the six metadata fields that we read: about 2 KB, against 22 KB as parsed dicts
with managedFields, so that 10,000 rollouts fit into a small pod. It is parsed when its turn comes (some 100 us).

The newest wins: resourceVersions of one kind are numbers that grow, so that our own write's answer and the watch may
arrive in any order.
"""

import json
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from pilotage.controller.schedule import Key
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout

_LOG = logging.getLogger(__name__)
_METADATA = (
    "name",
    "namespace",
    "uid",
    "generation",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "finalizers",
)
_TOMBSTONES = 4096
_LONG_AGO = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Kept:
    """One rollout.

    Attributes:
        uid: tells it from an earlier one of the same name.
        version: resourceVersion as a number.
        generation: of the spec.
        deleting: whether it has been deleted and waits for its finalizers.
        settled: Completed or RolledBack, and nothing was changed since.
        decided_at: when something was decided last.
        templates: names of the IndicatorTemplates that it uses.
        data: compact JSON.
    """

    uid: str
    version: int
    generation: int
    deleting: bool
    settled: bool
    decided_at: datetime
    templates: frozenset[str]
    data: bytes

    def asks_for_a_run(self, before: "Kept | None") -> bool:
        """Whether a person changed it: status and metadata that we write ourselves don't count."""
        return before is None or (self.uid, self.generation, self.deleting) != (
            before.uid,
            before.generation,
            before.deleting,
        )


class RolloutStore:
    """All rollouts by namespace and name."""

    def __init__(self) -> None:
        self._kept: dict[Key, Kept] = {}
        # Names that were deleted lately, with the last version: what was on its way then must not bring them back.
        self._tombs: dict[Key, int] = {}
        self._buried: deque[Key] = deque()

    def put(self, body: Mapping[str, Any]) -> bool:
        """Keep what the watch or our own write brought, if it is newer; tells whether it asks for a run."""
        key, kept = key_of(body), _keep(body)
        before = self._kept.get(key)
        if kept.version <= max(before.version if before else 0, self._tombs.get(key, 0)):
            return False
        self._kept[key] = kept
        return kept.asks_for_a_run(before)

    def remove(self, key: Key, version: int) -> bool:
        """It was gone at this resourceVersion; tells whether it was kept (and not made anew since)."""
        before = self._kept.get(key)
        if before is not None and before.version > version:
            return False
        if key not in self._tombs:
            self._buried.append(key)
        self._tombs[key] = version
        if len(self._buried) > _TOMBSTONES:
            del self._tombs[self._buried.popleft()]
        return self._kept.pop(key, None) is not None

    def get(self, key: Key) -> PilotRollout | None:
        """The rollout as it is known; None if there is none."""
        kept = self._kept.get(key)
        return PilotRollout.model_validate_json(kept.data) if kept else None

    def peek(self, key: Key) -> Kept | None:
        """What can be told without parsing."""
        return self._kept.get(key)

    def using(self, template: str) -> list[Key]:
        """The rollouts that use an IndicatorTemplate."""
        return [key for key, kept in self._kept.items() if template in kept.templates]

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: object) -> bool:
        return key in self._kept


class TemplateStore:
    """All IndicatorTemplates by name."""

    def __init__(self) -> None:
        self.specs: dict[str, IndicatorTemplateSpec] = {}
        self._versions: dict[str, int] = {}

    def put(self, body: Mapping[str, Any]) -> bool:
        """Keep a template, if it is newer; tells whether its spec has changed. What can't be read counts as none."""
        name, version = body["metadata"]["name"], int(body["metadata"]["resourceVersion"])
        if version <= self._versions.get(name, 0):
            return False
        self._versions[name] = version
        before = self.specs.pop(name, None)
        try:
            self.specs[name] = IndicatorTemplateSpec.model_validate(body["spec"])
        except ValidationError:
            _LOG.exception("IndicatorTemplate %s can't be read", name)
        return self.specs.get(name) != before

    def remove(self, name: str, version: int) -> bool:
        """It was gone at this resourceVersion; tells whether it was kept."""
        if self._versions.get(name, 0) > version:
            return False
        self._versions.pop(name, None)
        return self.specs.pop(name, None) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._versions))

    def __contains__(self, name: object) -> bool:
        return name in self._versions


def key_of(body: Mapping[str, Any]) -> Key:
    """Namespace and name of an object."""
    return Key(body["metadata"]["namespace"], body["metadata"]["name"])


def _keep(body: Mapping[str, Any]) -> Kept:
    metadata, spec, status = body["metadata"], body["spec"], body.get("status", {})
    slim = {
        "metadata": {name: metadata[name] for name in _METADATA if name in metadata},
        "spec": spec,
        "status": status,
    }
    history = status.get("history") or ({"time": _LONG_AGO},)
    generation, deleting = metadata.get("generation", 0), "deletionTimestamp" in metadata
    return Kept(
        uid=metadata["uid"],
        version=int(metadata["resourceVersion"]),
        generation=generation,
        deleting=deleting,
        settled=not deleting
        and status.get("phase") in ("Completed", "RolledBack")
        and status.get("observedGeneration") == generation,
        decided_at=datetime.fromisoformat(history[-1]["time"]),
        templates=frozenset(i["templateRef"] for i in spec.get("indicators", ()) if "templateRef" in i),
        data=json.dumps(slim, separators=(",", ":"), ensure_ascii=False).encode(),
    )
