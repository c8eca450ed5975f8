"""The texts that stand for a bound or a value with its unit: `< 50ms`, `80%`, and criteria made of them."""

from typing import Annotated

from pydantic import Field, StringConstraints

from pilotage.resources.cel import Validation, literal, reads
from pilotage.resources.grammar import BOUND_PATTERN, NUMBER, UNIT, as_pattern
from pilotage.resources.schema import INT_OR_STRING
from pilotage.resources.slips import BOUND_SLIPS

Bound = Annotated[
    str,
    StringConstraints(pattern=BOUND_PATTERN, max_length=40),
    reads(BOUND_PATTERN, "write a bound as OP VALUE[UNIT], such as `< 1%`, `<= 50ms` or `>= 8.5`", BOUND_SLIPS),
]
"""`OP VALUE[UNIT]`, such as `< 1%`."""

_AMOUNT_PATTERN = as_pattern(NUMBER + UNIT)

Amount = Annotated[
    int | str,
    Field(json_schema_extra={INT_OR_STRING: True, "maxLength": 30}),
    Validation(
        f"type(self) == int || string(self).matches({literal(_AMOUNT_PATTERN)})",
        'write a value with its unit, such as 10, "8.5", 80% or 500ms',
    ),
]
"""`VALUE[UNIT]`, such as `80%`; a whole number needs no quotes."""

_QUANTILE_PATTERN = r"^[0-9]{1,2}(\.[0-9]{1,6})?$"

Quantile = Annotated[
    int | str,
    Field(json_schema_extra={INT_OR_STRING: True, "maxLength": 10}),
    Validation(
        f"string(self).matches({literal(_QUANTILE_PATTERN)}) && double(self) > 0.0",
        'write the percentile as a number above 0 and below 100, such as 95, or a string such as "99.9"',
    ),
]
"""A percentile; a fraction is a string: the API knows no floats."""

_FACTOR_PATTERN = r"^[0-9]{1,6}(\.[0-9]{1,6})?$"

Factor = Annotated[
    int | str,
    Field(json_schema_extra={INT_OR_STRING: True, "maxLength": 16}),
    Validation(
        f"(type(self) == int || string(self).matches({literal(_FACTOR_PATTERN)})) && double(self) > 0.0",
        'write a number above 0, such as 6, or a string such as "14.4"',
    ),
]
"""A number above 0; a fraction is a string: the API knows no floats."""

_SHARE_PATTERN = r"^[0-9]{1,2}(\.[0-9]{1,6})?%$"

Budget = Annotated[
    str,
    StringConstraints(pattern=_SHARE_PATTERN, max_length=16),
    Validation(
        f"self.matches({literal(_SHARE_PATTERN)}) && double(self.replace('%', '')) > 0.0",
        "write the share of events that may be bad, more than 0% and less than 100%, such as 0.1%",
    ),
]
"""A share of events, such as `0.1%`."""

Holdback = Annotated[
    str,
    StringConstraints(pattern=_SHARE_PATTERN, max_length=16),
    Validation(
        f"self.matches({literal(_SHARE_PATTERN)}) && double(self.replace('%', '')) > 0.0"
        " && double(self.replace('%', '')) <= 50.0",
        "write the share of all users who are held back, more than 0% and at most 50%, such as 2%",
    ),
]
"""A share of the users, such as `2%`."""
