"""Manifests: the rollout, its templates and its users, from YAML files as they are applied to a cluster."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from pilotage.judging.incidents import Incident
from pilotage.resources.base import API_VERSION, Model
from pilotage.resources.incident import PilotIncident
from pilotage.resources.indicators import IndicatorTemplate, IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout

_T = TypeVar("_T", PilotRollout, IndicatorTemplate, PilotIncident)


class ManifestError(Exception):
    """A file that can't be used; the message names it, the field and the remedy."""


@dataclass(frozen=True, slots=True)
class Manifests:
    """What files hold.

    Attributes:
        rollouts: in the order of the files.
        templates: IndicatorTemplates by name.
        config_maps: their data by name.
        incidents: of any rollout.
    """

    rollouts: tuple[PilotRollout, ...] = ()
    templates: Mapping[str, IndicatorTemplateSpec] = field(default_factory=dict)
    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    incidents: tuple[PilotIncident, ...] = ()

    def incidents_of(self, rollout: PilotRollout) -> tuple[Incident, ...]:
        """Those that concern a rollout, by name or as all of its namespace."""
        meta = rollout.metadata
        return tuple(
            Incident(one.spec.severity, one.spec.started_time, one.spec.resolved_time, one.metadata.name)
            for one in self.incidents
            if one.metadata.namespace in ("", meta.namespace) and one.spec.rollout in (None, meta.name)
        )


def read_manifests(files: Sequence[tuple[str, str]]) -> Manifests:
    """What files hold; documents of other kinds are left out.

    Args:
        files: name and text of each.

    Raises:
        ManifestError: one is no YAML, or a document of ours is wrong.
    """
    rollouts: list[PilotRollout] = []
    templates: dict[str, IndicatorTemplateSpec] = {}
    config_maps: dict[str, Mapping[str, str]] = {}
    incidents: list[PilotIncident] = []
    for name, text in files:
        for document in _documents(name, text):
            kind = document.get("kind")
            if kind == PilotRollout.kind:
                rollouts.append(_read(PilotRollout, name, document))
            elif kind == IndicatorTemplate.kind:
                read = _read(IndicatorTemplate, name, document)
                templates[read.metadata.name] = read.spec
            elif kind == PilotIncident.kind:
                incidents.append(_read(PilotIncident, name, document))
            elif kind == "ConfigMap":
                meta, data = document.get("metadata"), document.get("data")
                if isinstance(meta, dict) and isinstance(data, dict):
                    config_maps[str(meta.get("name"))] = {str(key): str(value) for key, value in data.items()}
    return Manifests(tuple(rollouts), templates, config_maps, tuple(incidents))


def _documents(name: str, text: str) -> Iterator[dict[str, Any]]:
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        msg = f"{name} is no YAML{where}: {getattr(error, 'problem', None) or error}"
        raise ManifestError(msg) from error
    except (ValueError, RecursionError) as error:  # a date such as 2026-13-01, brackets without end
        msg = f"{name} is no YAML: {error}"
        raise ManifestError(msg) from error
    for document in documents:
        if isinstance(document, dict):
            items = document.get("items") if str(document.get("kind", "")).endswith("List") else None
            yield from (item for item in items if isinstance(item, dict)) if isinstance(items, list) else (document,)
        elif document is not None:
            msg = f"{name} holds no Kubernetes object: write apiVersion: {API_VERSION}, kind: {PilotRollout.kind}, ..."
            raise ManifestError(msg)


def _read(model: type[_T], name: str, document: dict[str, Any]) -> _T:
    version = document.get("apiVersion")
    if version != API_VERSION:
        msg = f"{name}: apiVersion is {version!r}: write {API_VERSION}"
        raise ManifestError(msg)
    try:
        # YAML reads dates and numbers that JSON would not know; what the API server gets is JSON.
        plain = json.loads(json.dumps({**document, "status": {}}, default=str))
        read = model.model_validate(plain)
    except ValidationError as error:
        raise ManifestError(f"{name}: {_first(error)}") from error
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"{name}: {model.kind} can't be read: {error}"
        raise ManifestError(msg) from error
    if unknown := next(unknown_fields(read.spec, plain["spec"], "spec"), None):
        msg = f"{name}: {unknown}: there is no such field; it would be refused by the API server"
        raise ManifestError(msg)
    return read


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, as a path and a sentence."""
    [first, *_] = error.errors(include_url=False)
    path = ""
    for part in first["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    hint = '; YAML reads on, off, yes and no as true and false: write it in quotes, such as "on"'
    return f"{path}: {first['msg']}{hint if isinstance(first['input'], bool) else ''}"


def unknown_fields(read: Model, given: Mapping[str, Any], path: str) -> Iterator[str]:
    """Paths in what was given that the model does not know; reading it left them out."""
    known = {info.alias or name: name for name, info in type(read).model_fields.items()}
    for key, value in given.items():
        if key not in known:
            yield f"{path}.{key}"
            continue
        found = getattr(read, known[key])
        if isinstance(found, Model) and isinstance(value, dict):
            yield from unknown_fields(found, value, f"{path}.{key}")
        elif isinstance(found, tuple) and isinstance(value, list):
            for index, (one, said) in enumerate(zip(found, value, strict=False)):
                if isinstance(one, Model) and isinstance(said, dict):
                    yield from unknown_fields(one, said, f"{path}.{key}[{index}]")
