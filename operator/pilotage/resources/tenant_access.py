"""Who a tenant is, who may work in its namespaces, and what its pods may request there."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from pilotage.resources.base import SET, Model
from pilotage.resources.cel import reads
from pilotage.resources.tenant_amounts import NamespaceName, Quantity

_Text = Annotated[str, StringConstraints(max_length=100)]

_Subject = Annotated[str, StringConstraints(min_length=1, max_length=253)]

_Quantities = Annotated[Mapping[str, Quantity], Field(max_length=32)]
"""Quantities by the name of what is limited, such as `requests.cpu`."""


class Owner(Model):
    """Who answers for a tenant."""

    email: Annotated[str, StringConstraints(pattern=r"^([^@ ]+@[^@ ]+)?$", max_length=254)] = ""
    """email address of the team."""
    team: _Text = ""
    """team in words."""
    cost_center: _Text = ""
    """costCenter that is charged."""


class Application(Model):
    """A ServiceAccount that works for the tenant."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
    """name of the ServiceAccount."""
    namespace: NamespaceName
    """namespace of the ServiceAccount; it may be outside the tenant's namespaces, such as that of a pipeline."""


_LABEL_PATTERN = r"^[a-zA-Z][a-zA-Z0-9_]*$"
_VALUE_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9_.:/-]*[A-Za-z0-9])?$"


class LabelMatcher(Model):
    """A label that a tenant's series have, and its value."""

    label: Annotated[
        str,
        StringConstraints(pattern=_LABEL_PATTERN, max_length=100),
        reads(_LABEL_PATTERN, "write the name of a label, such as tenant"),
    ]
    """label of the series."""
    value: Annotated[
        str,
        StringConstraints(pattern=_VALUE_PATTERN, max_length=253),
        reads(_VALUE_PATTERN, "write one value of letters, digits and `_.:/-`, such as search-prod"),
    ]
    """value that the label must have; no regular expression."""


class Access(Model):
    """Who may work in the tenant's namespaces; each gets the role in each of them by a RoleBinding."""

    users: Annotated[tuple[_Subject, ...], Field(max_length=64, json_schema_extra=SET)] = ()
    """users by the names that the API server knows them by."""
    groups: Annotated[tuple[_Subject, ...], Field(max_length=32, json_schema_extra=SET)] = ()
    """groups by the names that the API server knows them by."""
    applications: Annotated[
        tuple[Application, ...],
        Field(
            max_length=32,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["namespace", "name"],
            },
        ),
    ] = ()
    """applications are ServiceAccounts."""
    metrics: Annotated[
        tuple[LabelMatcher, ...],
        Field(
            max_length=4,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["label"]},
        ),
    ] = ()
    """metrics that rollouts of the tenant may read by PromQL of their own: each of these labels is enforced in each
    selector. IndicatorTemplates are asked as they are written. If empty, the operator's --tenant-label holds."""
    role: Literal["view", "edit"] = "edit"
    """role that they get: edit makes, changes and deletes rollouts and decides about them, but for gates; view reads.
    Neither runs pods nor reads Secrets: that is given by the platform team's own RoleBindings."""


class LimitDefaults(Model):
    """What containers get that say nothing, and how large one may be: a LimitRange."""

    default: _Quantities = Field(default_factory=dict)
    """default limits, such as `memory: 512Mi`."""
    default_request: _Quantities = Field(default_factory=dict)
    """defaultRequest is what is requested where a container requests nothing."""
    min: _Quantities = Field(default_factory=dict)
    """min of one container."""
    max: _Quantities = Field(default_factory=dict)
    """max of one container."""


Compute = Annotated[Mapping[str, Quantity], Field(max_length=32)]
"""The `hard` part of a ResourceQuota, by name: `requests.cpu`, `pods`, `count/pilotrollouts.pilotage.dev`."""
