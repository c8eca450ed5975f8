"""PilotIncident: one incident of a pilot, opened and resolved by people or by what an alert starts.

It is a record, not a control: criteria count it (`incidents(critical, open) == 0 for 7d`), nothing else follows.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, StringConstraints

from pilotage.resources.base import Message, Model, ObjectName, Resource, Time
from pilotage.resources.cel import Validation, validations

Severity = Literal["critical", "major", "minor"]

_LINK_PATTERN = r"^https?://[^ ]+$"


class PilotIncidentSpec(Model):
    """What happened, how bad it is, and when it began and ended."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Validation(
                "!has(self.resolvedTime) || self.resolvedTime >= self.startedTime",
                "resolvedTime is before startedTime: an incident ends after it has begun",
                field=".resolvedTime",
            ),
            Validation(
                "!has(oldSelf.resolvedTime) || (has(self.resolvedTime) && self.resolvedTime == oldSelf.resolvedTime)",
                "resolvedTime can be set once: if it broke again, create another PilotIncident",
                field=".resolvedTime",
            ),
        )
    )

    rollout: ObjectName | None = None
    """rollout that it concerns, in the same namespace; all of the namespace if not given."""
    severity: Severity
    """severity: critical, major or minor; criteria count each for itself."""
    title: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """title says what is wrong, in a few words."""
    started_time: Annotated[
        Time,
        Validation(
            "self == oldSelf", "startedTime can't change: delete this PilotIncident and create another if it is wrong"
        ),
    ]
    """startedTime is when it began, which may be before it was noticed."""
    resolved_time: Time | None = None
    """resolvedTime is when it was over; open if absent, or until then."""
    source: Annotated[str, StringConstraints(max_length=63)] = ""
    """source is who or what recorded it, such as `alertmanager` or a team's name."""
    cause: Message = ""
    """cause in a sentence, once it is known."""
    link: Annotated[
        str | None,
        StringConstraints(pattern=_LINK_PATTERN, max_length=512),
    ] = None
    """link to the alert, ticket or report, http or https."""


class PilotIncident(Resource):
    """One incident of a pilot. Criteria count incidents: `incidents(critical, open) == 0 for 7d`."""

    kind: ClassVar[str] = "PilotIncident"
    plural: ClassVar[str] = "pilotincidents"
    short_names: ClassVar[tuple[str, ...]] = ("incident", "incidents")
    printer_columns: ClassVar[tuple[dict[str, Any], ...]] = (
        {"name": "Severity", "type": "string", "jsonPath": ".spec.severity"},
        {"name": "Rollout", "type": "string", "jsonPath": ".spec.rollout"},
        {"name": "Started", "type": "date", "jsonPath": ".spec.startedTime"},
        {"name": "Resolved", "type": "date", "jsonPath": ".spec.resolvedTime"},
        {"name": "Title", "type": "string", "jsonPath": ".spec.title"},
        {"name": "Source", "type": "string", "jsonPath": ".spec.source", "priority": 1},
        {"name": "Link", "type": "string", "jsonPath": ".spec.link", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    )

    spec: PilotIncidentSpec
    """spec is what happened."""
