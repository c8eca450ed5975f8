"""The two forms in which a flag's definition is stored: a FeatureFlag, or a ConfigMap of ours.

In both, several rollouts share one object: each owns its own flag's entry by server-side apply, and nothing else. The
whole entry is owned (state, variants, default, targeting, metadata), so that no other writer can change what a
revision means without a conflict.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pilotage.delivery.target import Place
from pilotage.rollout.flagd import Definition

LABELS = {"app.kubernetes.io/managed-by": "pilotage", "pilotage.dev/flags": "true"}
"""By the second of them the flag service finds our ConfigMaps."""

Object = Mapping[str, Any]


class Form(Protocol):
    """How a flag's definition lies in an object."""

    @property
    def kind(self) -> str:
        """The object's kind."""
        ...

    def path(self, place: Place) -> str:
        """The object's path at the API server."""
        ...

    def body(self, place: Place, flag: str, definition: Definition) -> dict[str, Any]:
        """The object to apply: only what the rollout owns."""
        ...

    def together(self, place: Place, definitions: Mapping[str, Definition]) -> dict[str, Any] | None:
        """A merge patch of the object that writes several flags; None where that can't replace a definition."""
        ...

    def definition(self, found: Object, flag: str) -> Definition | None:
        """The flag's definition in an object; None if it has none that can be read."""
        ...

    def entry(self, flag: str) -> tuple[str, ...]:
        """Where the entry lies, as managedFields write it."""
        ...


@dataclass(frozen=True, slots=True)
class ConfigMapForm:
    """One key `<flag>.json` of a ConfigMap holds the definition as compact JSON."""

    kind: str = "ConfigMap"

    def path(self, place: Place) -> str:
        """The ConfigMap's path."""
        return f"/api/v1/namespaces/{place.namespace}/configmaps/{place.name}"

    def body(self, place: Place, flag: str, definition: Definition) -> dict[str, Any]:
        """The ConfigMap with this one key."""
        metadata = {"name": place.name, "namespace": place.namespace, "labels": LABELS}
        data = {f"{flag}.json": _text_of(definition)}
        return {"apiVersion": "v1", "kind": self.kind, "metadata": metadata, "data": data}

    def together(self, place: Place, definitions: Mapping[str, Definition]) -> dict[str, Any] | None:  # noqa: ARG002
        """These keys, and no other."""
        data = {f"{flag}.json": _text_of(definition) for flag, definition in definitions.items()}
        return {"metadata": {"labels": LABELS}, "data": data}

    def definition(self, found: Object, flag: str) -> Definition | None:
        """The parsed text of the key."""
        text = (found.get("data") or {}).get(f"{flag}.json")
        try:
            definition = json.loads(text or "null")
        except ValueError:
            return None
        return definition if isinstance(definition, dict) else None

    def entry(self, flag: str) -> tuple[str, ...]:
        """A key of data."""
        return ("f:data", f"f:{flag}.json")


@dataclass(frozen=True, slots=True)
class FeatureFlagForm:
    """The kind of the open-feature-operator: a map of definitions by flag."""

    kind: str = "FeatureFlag"

    def path(self, place: Place) -> str:
        """The FeatureFlag's path."""
        return f"{FEATURE_FLAGS}/namespaces/{place.namespace}/featureflags/{place.name}"

    def body(self, place: Place, flag: str, definition: Definition) -> dict[str, Any]:
        """The FeatureFlag with this one flag."""
        return {
            "apiVersion": FEATURE_FLAGS.removeprefix("/apis/"),
            "kind": self.kind,
            "metadata": {"name": place.name, "namespace": place.namespace},
            "spec": {"flagSpec": {"flags": {flag: definition}}},
        }

    def together(self, place: Place, definitions: Mapping[str, Definition]) -> dict[str, Any] | None:  # noqa: ARG002
        """None: a merge patch would leave parts of the definition that was there."""
        return None

    def definition(self, found: Object, flag: str) -> Definition | None:
        """The flag's entry."""
        flags = ((found.get("spec") or {}).get("flagSpec") or {}).get("flags") or {}
        definition = flags.get(flag)
        return definition if isinstance(definition, dict) else None

    def entry(self, flag: str) -> tuple[str, ...]:
        """A key of the map of flags."""
        return ("f:spec", "f:flagSpec", "f:flags", f"f:{flag}")


def _text_of(definition: Definition) -> str:
    return json.dumps(definition, separators=(",", ":"), ensure_ascii=False)


FEATURE_FLAGS = "/apis/core.openfeature.dev/v1beta1"

_NOBODY = "before-first-apply"
"""What the API server calls the owner of fields that had none when something else was applied to the object."""


def managers_of(found: Object, entry: tuple[str, ...]) -> tuple[str, ...]:
    """The field managers that own something within an entry."""
    return tuple(name for name in _named_in(found, entry) if name != _NOBODY)


def is_unowned(found: Object, entry: tuple[str, ...]) -> bool:
    """Whether an entry that is there belongs to nobody, as after its rollout has released it."""
    names = _named_in(found, entry)
    return not names or names == (_NOBODY,)


def version_of(found: Object) -> str | None:
    """The object's resourceVersion; None if it does not say."""
    return (found.get("metadata") or {}).get("resourceVersion")


def _named_in(found: Object, entry: tuple[str, ...]) -> tuple[str, ...]:
    managers = dict.fromkeys(
        str(field.get("manager"))
        for field in (found.get("metadata") or {}).get("managedFields") or ()
        if _holds(field.get("fieldsV1") or {}, entry)
    )
    return tuple(managers)


def without_manager(found: Object, manager: str) -> dict[str, Any]:
    """A merge patch that gives up what a field manager owns and leaves the values."""
    metadata = found["metadata"]
    kept = [field for field in metadata.get("managedFields", ()) if field.get("manager") != manager]
    # An empty list means "as it was" to the API server, a list of one empty entry means none.
    return {"metadata": {"resourceVersion": metadata["resourceVersion"], "managedFields": kept or [{}]}}


def _holds(fields: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    for name in path:
        if name not in fields:
            return False
        fields = fields[name]
    return True
