"""Amounts, as TenantQuotas say them: `850M`, `5Ti`, `10k`, `0.5`, and names of what they are amounts of.

They are written as Kubernetes writes quantities, without signs and exponents, so that the API server can compare them
(`quantity()` of its CEL). `pilotage.tenancy.amounts` reads them exactly.
"""

from typing import Annotated

from pydantic import Field, StringConstraints

from pilotage.resources.base import Model, ObjectName, Time
from pilotage.resources.cel import Validation, literal, reads
from pilotage.resources.schema import INT_OR_STRING

QUANTITY_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,9})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"

Quantity = Annotated[
    int | str,
    Field(json_schema_extra={INT_OR_STRING: True, "maxLength": 27}),
    Validation(
        f"string(self).matches({literal(QUANTITY_PATTERN)})",
        'write an amount of at least 0, such as 50000, 850M, 5Ti, or a string such as "0.5" for fractions',
    ),
]
"""An amount with an optional suffix, decimal (k, M, G, T, P, E; m for thousandths) or binary (Ki, Mi, Gi, ...)."""

MONEY_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,12})?$"

Money = Annotated[
    int | str,
    Field(json_schema_extra={INT_OR_STRING: True, "maxLength": 28}),
    Validation(
        f"string(self).matches({literal(MONEY_PATTERN)})",
        'write an amount of money as digits, such as 50000, or a string such as "0.0125" for fractions',
    ),
]
"""An amount of money, exact; a fraction is a string: the API knows no floats."""

RATIO_PATTERN = r"^[0-9]{1,6}(\.[0-9]{1,6})?$"

Ratio = Annotated[
    int | str,
    Field(json_schema_extra={INT_OR_STRING: True, "maxLength": 13}),
    Validation(
        f"string(self).matches({literal(RATIO_PATTERN)})",
        'write a number of at least 0, such as 2, or a string such as "1.2" for fractions',
    ),
]
"""A plain number that something is multiplied by."""

_RESOURCE_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"

ResourceName = Annotated[
    str,
    StringConstraints(pattern=_RESOURCE_PATTERN, max_length=40),
    reads(_RESOURCE_PATTERN, "write a name of lower-case letters, digits and `-`, such as monthly-cost"),
]
"""What a tenant uses: `vectors`, `qps`, `monthly-cost`."""

_CURRENCY_PATTERN = r"^[A-Z]{3}$"

Currency = Annotated[
    str,
    StringConstraints(pattern=_CURRENCY_PATTERN, max_length=3),
    reads(_CURRENCY_PATTERN, "write a currency by its ISO 4217 code, such as USD"),
]
"""An ISO 4217 code."""

NamespaceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
"""The name of a namespace."""

Told = Annotated[str, StringConstraints(max_length=63)]
"""An amount or a name in status: amounts are plain decimals without a suffix, such as `850000000`."""


class Grant(Model):
    """More of one resource, for a while."""

    resource: ResourceName
    """resource of the list `resources` whose hard limit (and soft limit) is raised."""
    amount: Quantity
    """amount that is added."""
    expires_time: Time
    """expiresTime is when the grant ends by itself."""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """reason that people will ask for, such as `launch`."""


class Place(Model):
    """An object in one of the tenant's namespaces."""

    kind: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=63)]
    """kind of the object."""
    name: ObjectName
    """name of the object."""
    namespace: NamespaceName
    """namespace of the object, one of the tenant's."""
