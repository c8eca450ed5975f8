"""Lint of the CRDs: structural schemas, and the conventions of the Kubernetes API, each as a small rule.

A rule gets a node's path and the node, and returns what is wrong with it. Exceptions have their reason beside them.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from pilotage.resources.base import DURATION_PATTERN, Resource
from pilotage.resources.crd import KINDS, definition

Node = Mapping[str, Any]
Rule = Callable[[str, Node], str | None]

KEYWORDS = {
    *("type", "format", "description", "default", "enum", "pattern", "properties", "items", "required"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems"),
    *("x-kubernetes-int-or-string", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
    *("x-kubernetes-validations", "additionalProperties", "maxProperties"),
}
TIMES = {
    "since": "one word for people, beside the verdict that it dates",
    "earliest": "one word for people, beside the verdict that it dates",
    "time": "the only time of a history entry",
    "unknownSince": "one word for people, beside the level that it dates",
    "violationSince": "one word for people, beside the level that it dates",
    "graceUntil": "one word for people, beside the level that it ends",
}
BOOLEANS = {
    "paused": "suspend has two states in every controller that users know",
    "throttled": "observed, never set",
    "overdue": "observed, never set",
    "forbidAuthor": "an author counts or does not",
}


def schema_of(kind: type[Resource]) -> dict[str, Any]:
    (version,) = definition(kind)["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def walk(path: str, node: Node) -> Iterator[tuple[str, Node]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from walk(f"{path}.{name}", child)
    if "items" in node:
        yield from walk(f"{path}[]", node["items"])
    if "additionalProperties" in node:
        yield from walk(f"{path}[]", node["additionalProperties"])


def name_of(path: str) -> str:
    return path.rpartition(".")[2]


def has_a_type(_path: str, node: Node) -> str | None:
    typed = node.get("type") in {"object", "array", "string", "integer", "boolean"}
    return None if typed != bool(node.get("x-kubernetes-int-or-string")) else "needs one type (and never a float)"


def uses_the_dialect(_path: str, node: Node) -> str | None:
    unknown = node.keys() - KEYWORDS
    return f"{sorted(unknown)} is not in the dialect of structural schemas that we use" if unknown else None


def object_says_its_fields(path: str, node: Node) -> str | None:
    said = "properties" in node or "additionalProperties" in node or path == ".metadata"
    return "an object without properties lets everything in" if node.get("type") == "object" and not said else None


def list_is_merged_as_said(_path: str, node: Node) -> str | None:
    if node.get("type") != "array":
        return None
    how, keys = node.get("x-kubernetes-list-type"), node.get("x-kubernetes-list-map-keys", [])
    if how not in {"atomic", "set", "map"} or (how == "map") != bool(keys):
        return "needs a list type, and keys if that is map"
    loose = [key for key in keys if key not in node["items"]["required"]]
    return f"the keys {loose} must be required" if loose else None


def is_bounded(path: str, node: Node) -> str | None:
    if node.get("type") == "array":
        return None if "maxItems" in node else "needs maxItems"
    if "additionalProperties" in node:
        return None if "maxProperties" in node else "needs maxProperties"
    free = node.get("type") == "string" and "enum" not in node and node.get("format") != "date-time"
    known = path in {".apiVersion", ".kind"}
    return "needs maxLength" if free and not known and "maxLength" not in node else None


def integer_has_a_width(_path: str, node: Node) -> str | None:
    wide = node.get("format") in {"int32", "int64"}
    return "needs format int32 or int64" if node.get("type") == "integer" and not wide else None


def required_has_no_default(_path: str, node: Node) -> str | None:
    both = [name for name in node.get("required", ()) if "default" in node["properties"][name]]
    return f"{both} can't be required and have a default" if both else None


def status_is_only_observed(path: str, node: Node) -> str | None:
    made_up = path.startswith(".status") and ("default" in node or "x-kubernetes-validations" in node)
    return "status has no defaults and no rules: it is what was observed" if made_up else None


def name_is_camel_case(path: str, _node: Node) -> str | None:
    name = name_of(path).removesuffix("[]")
    return None if re.fullmatch(r"[a-z][a-zA-Z0-9]*|", name) else "is not in camelCase"


def time_says_so(path: str, node: Node) -> str | None:
    if node.get("format") != "date-time" or name_of(path) in TIMES:
        return None
    return None if path.endswith("Time") else "a time ends with Time"


def duration_is_one_string(path: str, node: Node) -> str | None:
    """The API conventions want `fooSeconds`, but who plans a rollout thinks in days and weeks."""
    named = re.search(r"(?i)(duration|interval|window|hold|period|timeout)$", name_of(path))
    return "a duration is a string of ours" if named and node.get("pattern") != DURATION_PATTERN else None


def boolean_is_an_exception(path: str, node: Node) -> str | None:
    plain = node.get("type") == "boolean" and name_of(path) not in BOOLEANS
    return "use an enum: a third state comes sooner or later" if plain else None


def is_described(path: str, node: Node) -> str | None:
    if path in {"", ".metadata"}:
        return None
    text, name = node.get("description", ""), name_of(path)
    if path.endswith("[]"):
        return "needs a description" if "properties" in node and not text else None
    begins = re.match(rf"{name}\b", text)
    return None if begins and text.endswith(".") else f"the description must begin with {name} and end with a period"


def pattern_is_anchored(_path: str, node: Node) -> str | None:
    pattern = node.get("pattern", "^$")
    re.compile(pattern)
    plain = pattern.startswith("^") and pattern.endswith("$") and "(?" not in pattern
    return None if plain else "a pattern is anchored and uses no extensions"


def conditions_are_a_map(path: str, node: Node) -> str | None:
    if path != ".status.conditions":
        return None
    wanted = {"type", "status", "reason", "lastTransitionTime"}
    fine = node["x-kubernetes-list-map-keys"] == ["type"] and wanted <= set(node["items"]["required"])
    return None if fine else "conditions are a map by type, each with status, reason and lastTransitionTime"


def rule_can_be_read(_path: str, node: Node) -> str | None:
    for made in node.get("x-kubernetes-validations", ()):
        target: Any = node
        for name in made.get("fieldPath", "").split(".")[1:]:
            target = target.get("properties", {}).get(name)
            if target is None:
                return f"a rule points to {made['fieldPath']}, which does not exist"
        if not made["message"].strip() or "\n" in made["message"]:
            return "a rule needs a message of one line"
    return None


RULES: tuple[Rule, ...] = (
    has_a_type,
    uses_the_dialect,
    object_says_its_fields,
    list_is_merged_as_said,
    is_bounded,
    integer_has_a_width,
    required_has_no_default,
    status_is_only_observed,
    name_is_camel_case,
    time_says_so,
    duration_is_one_string,
    boolean_is_an_exception,
    is_described,
    pattern_is_anchored,
    conditions_are_a_map,
    rule_can_be_read,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_field_keeps_the_rule(kind: type[Resource], rule: Rule) -> None:
    found = [f"{path}: {fault}" for path, node in walk("", schema_of(kind)) if (fault := rule(path, node))]
    assert found == []


FAULTS: tuple[tuple[Rule, str, Node], ...] = (
    (has_a_type, ".spec.a", {}),
    (has_a_type, ".spec.a", {"type": "number"}),
    (uses_the_dialect, ".spec.a", {"anyOf": []}),
    (uses_the_dialect, ".spec.a", {"type": "string", "nullable": True}),
    (object_says_its_fields, ".spec.a", {"type": "object"}),
    (list_is_merged_as_said, ".spec.a", {"type": "array"}),
    (list_is_merged_as_said, ".spec.a", {"type": "array", "x-kubernetes-list-type": "map"}),
    (is_bounded, ".spec.a", {"type": "array"}),
    (is_bounded, ".spec.a", {"type": "object", "additionalProperties": {"type": "string"}}),
    (is_bounded, ".spec.a", {"type": "string"}),
    (integer_has_a_width, ".spec.a", {"type": "integer"}),
    (required_has_no_default, ".spec", {"required": ["a"], "properties": {"a": {"default": 1}}}),
    (status_is_only_observed, ".status.a", {"default": 0}),
    (name_is_camel_case, ".spec.a_b", {}),
    (time_says_so, ".status.begin", {"type": "string", "format": "date-time"}),
    (duration_is_one_string, ".spec.interval", {"type": "integer"}),
    (boolean_is_an_exception, ".spec.strict", {"type": "boolean"}),
    (is_described, ".spec.a", {"type": "string", "description": "The first letter."}),
    (is_described, ".spec.a[]", {"type": "object", "properties": {}}),
    (pattern_is_anchored, ".spec.a", {"pattern": "[a-z]+"}),
    (conditions_are_a_map, ".status.conditions", {"x-kubernetes-list-map-keys": ["reason"], "items": {"required": []}}),
    (rule_can_be_read, ".spec", {"x-kubernetes-validations": [{"fieldPath": ".a", "message": "no"}], "properties": {}}),
    (rule_can_be_read, ".spec", {"x-kubernetes-validations": [{"message": " "}]}),
)


@pytest.mark.parametrize(("rule", "path", "node"), FAULTS, ids=[rule.__name__ for rule, *_ in FAULTS])
def test_the_rule_finds_its_fault(rule: Rule, path: str, node: Node) -> None:
    assert rule(path, node)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_columns_show_fields_that_exist(kind: type[Resource]) -> None:
    fields = {path for path, _ in walk("", schema_of(kind))} | {".metadata.creationTimestamp"}
    missing = [column["jsonPath"] for column in kind.printer_columns if column["jsonPath"] not in fields]
    assert missing == []


def test_kinds_with_a_status_have_it_as_a_subresource() -> None:
    for kind in KINDS:
        (version,) = definition(kind)["spec"]["versions"]
        has_status = "status" in version["schema"]["openAPIV3Schema"]["properties"]
        assert version.get("subresources", {}).get("status") == ({} if has_status else None)
        assert "status" not in version["schema"]["openAPIV3Schema"]["required"]


def test_every_name_leads_to_one_kind() -> None:
    names = [n for kind in KINDS for n in (kind.plural, kind.kind.lower(), *kind.short_names)]
    assert len(names) == len(set(names))
    assert all("all" not in kind.categories for kind in KINDS)


def test_definitions_fit_into_the_annotation_of_kubectl_apply() -> None:
    for kind in KINDS:
        # kubectl keeps it as JSON; a third is left for what is yet to come.
        assert len(json.dumps(definition(kind), separators=(",", ":"))) < 262_144 * 2 / 3
