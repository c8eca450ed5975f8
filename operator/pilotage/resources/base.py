"""What all resources share: the base model, the bounded string types, and conditions.

Every string and list is bounded: the API server estimates the cost of CEL rules from these bounds and refuses a CRD
whose rules could become expensive.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints
from pydantic.alias_generators import to_camel

GROUP = "pilotage.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

DURATION_PATTERN = r"^([0-9]{1,6}(ms|s|m|h|d|w)){1,6}$"


class Model(BaseModel):
    """Frozen, camelCase on the wire, snake_case in Python; unknown fields of a newer version are ignored on reading."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    def to_wire(self) -> dict[str, Any]:
        """The JSON object that the API server stores: absent instead of null, times in RFC 3339."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def rule(expression: str, message: str, *, field: str | None = None, expr_message: str | None = None) -> dict[str, str]:
    """One CEL validation rule of a CRD.

    Args:
        expression: CEL over `self` (and `oldSelf` for a transition rule).
        message: what the user reads: names the field and the remedy.
        field: path of the field that the error shall point to, such as `.steps`.
        expr_message: CEL that builds the message; `message` stays as the fallback.
    """
    made = {"rule": expression, "message": message}
    if expr_message:
        made["messageExpression"] = expr_message
    if field:
        made["fieldPath"] = field
    return made


def rules(*made: dict[str, str]) -> dict[str, Any]:
    """CEL rules as `json_schema_extra` of a model's config or of a field."""
    return {"x-kubernetes-validations": list(made)}


def keyed_by(*keys: str) -> dict[str, Any]:
    """A list that server-side apply merges by these keys."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}
SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[AwareDatetime, PlainSerializer(_rfc3339, return_type=str)]
"""A moment, always with a zone; on the wire RFC 3339 in UTC with milliseconds."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
"""A DNS label that starts with a letter."""

IndicatorName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=63)]
"""An indicator's name as criteria use it: `error_ratio`, `p95`."""

FlagKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", max_length=100)]
"""A flag's key: also the key of its entry in a ConfigMap."""

VariantName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.]*$", max_length=63)]

UserKey = Annotated[str, StringConstraints(min_length=1, max_length=128)]
"""What the bucketing attribute holds for one user."""

Duration = Annotated[str, StringConstraints(pattern=DURATION_PATTERN, max_length=32)]
"""Prometheus' way to write a duration: `90s`, `10m`, `14d`, `1h30m`."""

PromQL = Annotated[str, StringConstraints(min_length=1, max_length=2048)]

Message = Annotated[str, StringConstraints(max_length=1024)]


class Condition(Model):
    """One condition, as `kubectl wait` and kstatus read it."""

    type: Annotated[str, StringConstraints(max_length=64)]
    """type of the condition, CamelCase."""
    status: Literal["True", "False", "Unknown"]
    """status is True, False or Unknown."""
    observed_generation: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] = 0
    """observedGeneration is the generation of the spec that this condition speaks of."""
    last_transition_time: Time
    """lastTransitionTime is when status changed last."""
    reason: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9]*$", max_length=128)]
    """reason is one CamelCase word for programs."""
    message: Message = ""
    """message is a sentence for people."""


class ObjectMeta(Model):
    """The part of an object's metadata that Pilotage reads."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    finalizers: tuple[str, ...] = ()
