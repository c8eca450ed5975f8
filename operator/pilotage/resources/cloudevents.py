"""The record's lines: each decision of a rollout as a CloudEvent (1.0, structured mode), and the schema of their data.

A line is made of what the rollout itself says, and of nothing else: whoever makes it, and whenever, it is the same,
with the same id. A decision of a rollout that only observes has a type of its own, so that nobody takes it for one that
reached users.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from pydantic.json_schema import GenerateJsonSchema

from pilotage.resources.base import GROUP, Message, Model, ObjectMeta
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import Count, HistoryEntry

_PREFIX = ".".join(reversed(GROUP.split(".")))

_IDENTITY = re.compile(rb'\{"specversion":"1\.0","id":"([^"]+)\.(?:\d+-)?(\d+)"')

DECISION_SCHEMA = f"tag:{GROUP},2026:decision.v1"
"""Names the schema of a decision's data (docs/record.schema.json); a tag (RFC 4151), not an address."""

GAP_SCHEMA = f"tag:{GROUP},2026:gap.v1"
"""Names the schema of a gap's data, in the same file."""


class Decision(HistoryEntry):
    """One decision on a rollout: what status.history says of it, and of which rollout."""

    namespace: str
    """namespace of the rollout."""
    name: str
    """name of the rollout."""
    uid: str
    """uid of the rollout: another one of the same name has another."""


class Gap(Model):
    """Decisions that are missing in this record: they had left status.history before they could be written."""

    namespace: str
    """namespace of the rollout."""
    name: str
    """name of the rollout."""
    uid: str
    """uid of the rollout."""
    first: Annotated[Count, Field(ge=1)]
    """first sequence number that is missing."""
    last: Annotated[Count, Field(ge=1)]
    """last sequence number that is missing."""
    message: Message
    """message for people."""


def decision_event(meta: ObjectMeta, entry: HistoryEntry) -> dict[str, Any]:
    """The CloudEvent of one entry of the history of the rollout with this metadata."""
    about = {"namespace": meta.namespace, "name": meta.name, "uid": meta.uid}
    data = Decision.model_validate({**dict(entry), **about}).to_wire()
    return {
        "specversion": "1.0",
        "id": f"{meta.uid}.{entry.sequence}",
        "type": f"{_PREFIX}.{'observed' if entry.mode == 'observe' else 'rollout'}.{entry.action.lower()}.v1",
        "time": data["time"],
        "dataschema": DECISION_SCHEMA,
        **_about(meta),
        "data": data,
    }


def gap_event(meta: ObjectMeta, *, first: int, following: HistoryEntry) -> dict[str, Any]:
    """The CloudEvent that says which decisions are missing.

    Args:
        meta: of the rollout that they were made on.
        first: sequence number of the first one.
        following: the decision that comes next; the event has its time.
    """
    last = following.sequence - 1
    gap = Gap(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        first=first,
        last=last,
        message=f"decisions {first} to {last} are not in this record: they were made before it began, or while it could"
        " not be written",
    )
    return {
        "specversion": "1.0",
        "id": f"{meta.uid}.{first}-{last}",
        "type": f"{_PREFIX}.rollout.gap.v1",
        "time": following.to_wire()["time"],
        "dataschema": GAP_SCHEMA,
        **_about(meta),
        "data": gap.to_wire(),
    }


def _about(meta: ObjectMeta) -> dict[str, str]:
    return {
        "source": PilotRollout.path(meta.namespace, meta.name),
        "subject": f"{meta.namespace}/{meta.name}",
        "datacontenttype": "application/json",
    }


def to_line(event: dict[str, Any]) -> bytes:
    """The event as one line of the record; its id comes first, where `sequence_of` finds it without parsing."""
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def sequence_of(line: bytes) -> tuple[str, int] | None:
    """Which rollout (by uid) a line of the record speaks of, and up to which decision; None if it is no such line."""
    match = _IDENTITY.match(line)
    return (match[1].decode(), int(match[2])) if match else None


def record_schema(more: Mapping[str, type[Model]]) -> str:
    """The JSON Schema (2020-12) of the data, as docs/record.schema.json has it.

    Args:
        more: models of other data, by the names of their schemas.
    """
    models: dict[str, type[Model]] = {DECISION_SCHEMA: Decision, GAP_SCHEMA: Gap, **more}
    schema = {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$comment": "Generated from operator/pilotage/resources by `make generate`: change it there.",
        "title": "Data of the record's CloudEvents, by their dataschema",
        "$defs": {
            model.__name__: {"$id": name, **model.model_json_schema(by_alias=True, mode="serialization")}
            for name, model in models.items()
        },
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
