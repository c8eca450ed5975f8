"""Structural schemas, as CustomResourceDefinitions want them, from pydantic models.

Kubernetes speaks a dialect of JSON schema: no references, no null, no unions, a type at every node, the exclusive
bounds of OpenAPI 3.0. Absence takes the place of null. https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension
has the rules; `tests/unit/test_crds_lint.py` checks them.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

INT_OR_STRING = "x-kubernetes-int-or-string"
_INT32 = 2**31 - 1
_KEY_ORDER = ("description", "type", INT_OR_STRING, "format", "enum", "pattern", "default")
_REF = "#/$defs/"


class _Dialect(GenerateJsonSchema):
    """Pydantic's generator with the differences that are local to one node."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """`X | None` is X: absent, never null."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """A default of None is no default; that of a nested model is told in full, because CEL checks it as it is."""
        default = self.get_default_value(schema)
        if default is None:
            return self.generate_inner(schema["schema"])
        made = super().default_schema(schema)
        if isinstance(default, BaseModel):
            made["default"] = default.model_dump(mode="json", by_alias=True, exclude_none=True)
        return made

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        """One allowed value is an enum too: there is no `const`."""
        made = super().literal_schema(schema)
        return {**made, "enum": [made["const"]]} if "const" in made else made

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        """Integers say their width."""
        made = super().int_schema(schema)
        narrow = made.get("minimum", -_INT32 - 1) >= -_INT32 - 1 and made.get("maximum", _INT32 + 1) <= _INT32
        return {**made, "format": "int32" if narrow else "int64"}


def structural_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The structural schema of a model, self-contained.

    Raises:
        ValueError: a model refers to itself, which no structural schema can say.
    """
    schema = model.model_json_schema(by_alias=True, schema_generator=_Dialect)
    return _settle(schema, schema.get("$defs", {}), seen=())


def without_defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with no default anywhere: for status, where nothing may be there that nobody has observed."""
    made = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in made:
        made["properties"] = {name: without_defaults(child) for name, child in made["properties"].items()}
    if "items" in made:
        made["items"] = without_defaults(made["items"])
    return made


def _settle(node: Mapping[str, Any], defs: Mapping[str, Any], seen: tuple[str, ...]) -> dict[str, Any]:
    """One node and all below it: references put in place, and only what the dialect knows."""
    if "$ref" in node:
        name = node["$ref"].removeprefix(_REF)
        if name in seen:
            message = f"{name} refers to itself: a structural schema can't"
            raise ValueError(message)
        siblings = {key: value for key, value in node.items() if key != "$ref"}
        return _settle({**defs[name], **siblings}, defs, (*seen, name))
    made = {key: value for key, value in node.items() if key not in {"title", "const", "$defs", "anyOf"}}
    if "anyOf" in node and not node.get(INT_OR_STRING):
        message = f"a union can't be said in a structural schema: {node}"
        raise ValueError(message)
    if "description" in made:
        made["description"] = " ".join(made["description"].split())
    for bound, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if bound in made:
            made |= {plain: made[bound], bound: True}
    if "properties" in made:
        made["properties"] = {name: _settle(child, defs, seen) for name, child in made["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in made:
            made[key] = _settle(made[key], defs, seen)
    return {key: made[key] for key in sorted(made, key=_rank)}


def _rank(key: str) -> int:
    """What a reader looks for first comes first; fields and rules come last."""
    if key in _KEY_ORDER:
        return _KEY_ORDER.index(key)
    return len(_KEY_ORDER) + (key in {"properties", "items"}) + 2 * (key == "x-kubernetes-validations")
