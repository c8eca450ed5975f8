"""What is known of all rollouts and templates: what the watch brought last, as small as it goes.

A rollout is kept as compressed JSON with the few metadata fields that we read: about 1.5 KB, against 30 KB as parsed
dicts with managedFields, so that 10,000 rollouts fit into a small pod. It is read when its turn comes (some 100 us).

The newest wins: resourceVersions of one kind are numbers that grow, so that our own write's answer and the watch may
arrive in any order.
"""

import json
import logging
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from pilotage.controller.neighbours import Neighbours, facts_of
from pilotage.controller.schedule import Key
from pilotage.resources.gates import CHANGED_BY
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
_ASKS_FOR_REPLICAS = ('"capacity":', '"direction":"back"', '"phase":"RollingBack"')
_QUICK = 1
"""Of zlib's levels: the others save a tenth more, for up to twice the time."""
_LONG_AGO = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Kept:
    """One rollout.

    Attributes:
        uid: tells it from an earlier one of the same name.
        version: resourceVersion as a number.
        generation: of the spec.
        deleting: whether it has been deleted and waits for its finalizers.
        settled: Completed, or RolledBack for good, and nothing was changed since.
        decided_at: when something was decided last.
        templates: names of the IndicatorTemplates that it uses.
        counts_incidents: whether a criterion of it counts incidents, or did lately.
        asks_for_replicas: whether it may ask for replicas of its workload, or that none are taken away.
        data: compressed JSON.
    """

    uid: str
    version: int
    generation: int
    deleting: bool
    settled: bool
    decided_at: datetime
    templates: frozenset[str]
    counts_incidents: bool
    asks_for_replicas: bool
    data: bytes

    def asks_for_a_run(self, before: "Kept | None") -> bool:
        """Whether a person changed it: status and metadata that we write ourselves don't count."""
        return before is None or (self.uid, self.generation, self.deleting) != (
            before.uid,
            before.generation,
            before.deleting,
        )


class RolloutStore:
    """All rollouts by namespace and name.

    Args:
        neighbours: told of what is put and removed.
    """

    def __init__(self, neighbours: Neighbours | None = None) -> None:
        self._neighbours = neighbours or Neighbours()
        self._kept: dict[Key, Kept] = {}
        # Names that were deleted lately, with the last version: what was on its way then must not bring them back.
        self._tombs: dict[Key, int] = {}
        self._buried: deque[Key] = deque()

    def put(self, body: Mapping[str, Any]) -> bool:
        """Keep what the watch or our own write brought, if it is newer; tells whether it asks for a run."""
        key, version = key_of(body), int(body["metadata"]["resourceVersion"])
        before = self._kept.get(key)
        if version <= max(before.version if before else 0, self._tombs.get(key, 0)):
            return False
        kept = self._kept[key] = _keep(body)
        self._neighbours.put(key, facts_of(body))
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
        self._neighbours.remove(key)
        return self._kept.pop(key, None) is not None

    def get(self, key: Key) -> PilotRollout | None:
        """The rollout as it is known; None if there is none."""
        kept = self._kept.get(key)
        return PilotRollout.model_validate_json(zlib.decompress(kept.data)) if kept else None

    def peek(self, key: Key) -> Kept | None:
        """What can be told without parsing."""
        return self._kept.get(key)

    def using(self, template: str) -> list[Key]:
        """The rollouts that use an IndicatorTemplate."""
        return [key for key, kept in self._kept.items() if template in kept.templates]

    def counting_incidents(self, concerned: Key) -> list[Key]:
        """The rollout, or all of the namespace if the name is empty, where criteria count incidents."""
        if concerned.name:
            kept = self._kept.get(concerned)
            return [concerned] if kept and kept.counts_incidents else []
        found = ((key, kept) for key, kept in self._kept.items() if key.namespace == concerned.namespace)
        return [key for key, kept in found if kept.counts_incidents]

    @property
    def versions(self) -> dict[Key, int]:
        """The resourceVersions of all."""
        return {key: kept.version for key, kept in self._kept.items()}

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

    @property
    def versions(self) -> dict[Key, int]:
        """The resourceVersions of all, also of those that can't be read."""
        return {Key("", name): version for name, version in self._versions.items()}


def key_of(body: Mapping[str, Any]) -> Key:
    """Namespace and name of an object."""
    return Key(body["metadata"]["namespace"], body["metadata"]["name"])


def _author_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Of all annotations only the one that tells who changed the spec last."""
    author = metadata.get("annotations", {}).get(CHANGED_BY)
    return {"annotations": {CHANGED_BY: author}} if author else {}


def _keep(body: Mapping[str, Any]) -> Kept:
    metadata, spec, status = body["metadata"], body["spec"], body.get("status", {})
    slim = {
        "metadata": {**{name: metadata[name] for name in _METADATA if name in metadata}, **_author_of(metadata)},
        "spec": spec,
        "status": status,
    }
    history = status.get("history") or ({"time": _LONG_AGO},)
    text = json.dumps(slim, separators=(",", ":"), ensure_ascii=False)
    generation, deleting = metadata.get("generation", 0), "deletionTimestamp" in metadata
    return Kept(
        uid=metadata["uid"],
        version=int(metadata["resourceVersion"]),
        generation=generation,
        deleting=deleting,
        settled=not deleting
        and (status.get("phase") == "Completed" or (status.get("phase") == "RolledBack" and not _retries(spec)))
        and status.get("observedGeneration") == generation,
        decided_at=datetime.fromisoformat(history[-1]["time"]),
        templates=frozenset(i["templateRef"] for i in spec.get("indicators", ()) if "templateRef" in i),
        counts_incidents="incidents(" in text,
        asks_for_replicas=any(words in text for words in _ASKS_FOR_REPLICAS),
        data=zlib.compress(text.encode(), _QUICK),
    )


def _retries(spec: Mapping[str, Any]) -> bool:
    return "retry" in spec.get("onRollback", {})
