"""CustomResourceDefinitions from the models: what `crds/` holds, and what the API server validates with."""

from typing import Any

from pilotage.resources.base import GROUP, VERSION, Resource
from pilotage.resources.decision import PilotDecision
from pilotage.resources.incident import PilotIncident
from pilotage.resources.indicators import IndicatorTemplate
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.schema import structural_schema, without_defaults
from pilotage.resources.tenant import TenantQuota

KINDS: tuple[type[Resource], ...] = (PilotRollout, IndicatorTemplate, PilotIncident, PilotDecision, TenantQuota)
"""All kinds that Pilotage serves."""

_TYPE_META = {
    "apiVersion": {
        "description": f"apiVersion is the version of this representation: {GROUP}/{VERSION}.",
        "type": "string",
    },
    "kind": {"description": "kind of this object.", "type": "string"},
    "metadata": {"type": "object"},
}


def definition(kind: type[Resource]) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "pilotage", "app.kubernetes.io/part-of": "pilotage"},
        },
        "spec": {
            "group": GROUP,
            "names": _names(kind),
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [_version(kind)],
        },
    }


def object_schema(kind: type[Resource]) -> dict[str, Any]:
    """The schema of a whole object of a kind, as the API server gets it."""
    schema = structural_schema(kind)
    own = {name: child for name, child in schema["properties"].items() if name != "metadata"}
    if "status" in own:
        own["status"] = without_defaults(own["status"])
    required = [name for name in schema.get("required", ()) if name != "metadata"]
    return {**schema, "properties": {**_TYPE_META, **own}, "required": required}


def _names(kind: type[Resource]) -> dict[str, Any]:
    return {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.kind.lower(),
        "shortNames": list(kind.short_names),
        "categories": list(kind.categories),
    }


def _version(kind: type[Resource]) -> dict[str, Any]:
    schema = object_schema(kind)
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        **({"subresources": {"status": {}}} if "status" in schema["properties"] else {}),
        "additionalPrinterColumns": [dict(column) for column in kind.printer_columns],
        "schema": {"openAPIV3Schema": schema},
    }
