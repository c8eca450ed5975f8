"""What all resources share: the base models, the bounded string types, and conditions.

Every string and list is bounded: the API server estimates the cost of CEL rules from these bounds and refuses a CRD
whose rules could become expensive.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints
from pydantic.alias_generators import to_camel

from pilotage.resources.cel import Validation, reads

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


def keyed_by(*keys: str) -> dict[str, Any]:
    """A list that server-side apply merges by these keys."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}
SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[AwareDatetime, PlainSerializer(_rfc3339, return_type=str)]
"""A moment, always with a zone; on the wire RFC 3339 in UTC with milliseconds."""

_NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
_INDICATOR_NAME_PATTERN = r"^[a-z][a-z0-9_-]*$"
_FLAG_KEY_PATTERN = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"

Name = Annotated[
    str,
    StringConstraints(pattern=_NAME_PATTERN, max_length=63),
    reads(
        _NAME_PATTERN, "write a name of lower-case letters, digits and `-` that starts with a letter, such as week-1"
    ),
]
"""A DNS label that starts with a letter."""

IndicatorName = Annotated[
    str,
    StringConstraints(pattern=_INDICATOR_NAME_PATTERN, max_length=63),
    reads(
        _INDICATOR_NAME_PATTERN,
        "write a name of lower-case letters, digits, `_` and `-` that starts with a letter, such as error_ratio",
    ),
]
"""An indicator's name as criteria use it: `error_ratio`, `p95`."""

FlagKey = Annotated[
    str,
    StringConstraints(pattern=_FLAG_KEY_PATTERN, max_length=100),
    reads(
        _FLAG_KEY_PATTERN,
        "write a flag's key of letters, digits, `-`, `_` and `.`, such as semantic-search",
    ),
]
"""A flag's key: also the key of its entry in a ConfigMap."""

VariantName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.]*$", max_length=63)]

UserKey = Annotated[str, StringConstraints(min_length=1, max_length=128)]
"""What the bucketing attribute holds for one user."""

ObjectName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
"""The name of another object."""

_API_VERSION_PATTERN = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?v[a-z0-9]+$"

ApiVersion = Annotated[
    str,
    StringConstraints(pattern=_API_VERSION_PATTERN, max_length=100),
    reads(_API_VERSION_PATTERN, "write the kind's group and version, such as apps/v1"),
]
"""apiVersion of another object's kind. It becomes a part of paths: its group has no empty parts, so no `..` either."""

Kind = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=63)]
"""The kind of another object."""

Duration = Annotated[
    str,
    StringConstraints(pattern=DURATION_PATTERN, max_length=32),
    reads(
        DURATION_PATTERN, "write a duration as numbers with units (ms, s, m, h, d, w), such as 90s, 10m, 1h30m or 14d"
    ),
]
"""Prometheus' way to write a duration: `90s`, `10m`, `14d`, `1h30m`."""

Window = Annotated[
    Duration, Validation("!self.matches('^([0]+(ms|s|m|h|d|w))+$')", "a window must be longer than zero, such as 1m")
]
"""A duration that something can be measured over."""

_TIME_ZONE_PATTERN = r"^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$"

TimeZone = Annotated[
    str,
    StringConstraints(pattern=_TIME_ZONE_PATTERN, max_length=64),
    reads(_TIME_ZONE_PATTERN, "write a time zone by its IANA name, such as Europe/Berlin or UTC"),
]
"""The name of a time zone in the IANA database."""

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
    annotations: Mapping[str, str] = Field(default_factory=dict)


class Resource(Model):
    """A kind of the API: what its CustomResourceDefinition needs beyond the schema."""

    kind: ClassVar[str]
    plural: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]]
    categories: ClassVar[tuple[str, ...]] = ("pilotage",)
    namespaced: ClassVar[bool] = True
    printer_columns: ClassVar[tuple[dict[str, Any], ...]]

    metadata: ObjectMeta

    @classmethod
    def path(cls, namespace: str = "", name: str = "") -> str:
        """The path at the API server: of one object, of all in a namespace, or of all."""
        within = f"/namespaces/{namespace}" if namespace else ""
        one = f"/{name}" if name else ""
        return f"/apis/{API_VERSION}{within}/{cls.plural}{one}"
