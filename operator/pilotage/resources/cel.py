"""CEL validation rules: what the API server checks beyond types, patterns and bounds.

A `Validation` annotates a field (`Annotated[str, Validation(...)]`) or, through `validations`, a whole model. Several
on one field add up. The rules need Kubernetes 1.33 or newer (two-variable comprehensions).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

KEY = "x-kubernetes-validations"


@dataclass(frozen=True, slots=True)
class Validation:
    """One rule.

    Attributes:
        rule: CEL over `self` (and `oldSelf` for a transition rule) that is true for what is allowed.
        message: what the user reads: names the field and the remedy.
        field: path of the field that the error shall point to, such as `.steps`.
        says: CEL that builds a more precise message; `message` stays as the fallback and as documentation.
    """

    rule: str
    message: str
    field: str = ""
    says: str = ""

    def to_schema(self) -> dict[str, str]:
        """The entry of `x-kubernetes-validations`."""
        made = {"rule": self.rule, "message": self.message}
        if self.says:
            made["messageExpression"] = self.says
        if self.field:
            made["fieldPath"] = self.field
        return made

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Pydantic's hook: append this rule to those of the annotated field."""
        schema = handler(core)
        schema[KEY] = [*schema.get(KEY, ()), self.to_schema()]
        return schema


def validations(*made: Validation) -> dict[str, Any]:
    """Rules as `json_schema_extra` of a model's config."""
    return {KEY: [validation.to_schema() for validation in made]}


def reads(pattern: str, message: str, slips: Sequence[tuple[str, str]] = ()) -> Validation:
    """The field's pattern once more as a rule: the server's own message about a pattern shows only the pattern.

    Args:
        pattern: of the field.
        message: what belongs there.
        slips: expressions that find a known slip in what was refused, each with its remedy; the first one is told too.
    """
    chosen = "".join(f"self.matches({literal(slip)}) ? {literal(f'{remedy}; ')} : " for slip, remedy in slips)
    says = f'({chosen}"") + {literal(message)}' if slips else ""
    return Validation(f"self.matches({literal(pattern)})", message, says=says)


def literal(text: str) -> str:
    """The text as a raw CEL string, so that a pattern stays legible.

    Raises:
        ValueError: the text holds a double quote.
    """
    if '"' in text:
        message = f"{text!r} holds a double quote, which a raw CEL string can't hold"
        raise ValueError(message)
    return f'r"{text}"'


def each(bad: str, says: str, *values: str, message: str, listed: str = "self", field: str = "") -> Validation:
    """A rule over the items of a list, whose message tells of the first bad item.

    Args:
        bad: CEL over `i` (index) and `s` (item) that is true for what is refused.
        says: the message, a format of `values`.
        values: CEL over `i` and `s`.
        message: the message where CEL can't build one.
        listed: CEL of the list.
        field: as in `Validation`.
    """
    return Validation(
        f"{listed}.all(i, s, !({bad}))",
        message,
        field=field,
        says=f"{listed}.transformList(i, s, {bad}, {formatted(says, *values)})[0]",
    )


def formatted(says: str, *values: str) -> str:
    """CEL of a text with values put in.

    Joined by `+` or `join`, a number or a filtered list makes the server's cost estimate unbounded: it refuses the CRD.
    """
    return f"{literal(says)}.format([{', '.join(values)}])"
