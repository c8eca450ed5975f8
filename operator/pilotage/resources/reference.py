"""The reference of the resources as Markdown, from the same schemas that the API server gets."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pilotage.resources.base import DURATION_PATTERN, GROUP, VERSION, Resource
from pilotage.resources.cel import KEY
from pilotage.resources.crd import object_schema
from pilotage.resources.grammar import AUDIENCE_PATTERN, BOUND_PATTERN, CRITERION_PATTERN
from pilotage.resources.schema import INT_OR_STRING

_NAMED_TYPES = {
    DURATION_PATTERN: "[duration](#durations)",
    CRITERION_PATTERN: "[criterion](#criteria-and-bounds)",
    BOUND_PATTERN: "[bound](#criteria-and-bounds)",
    AUDIENCE_PATTERN: "[cohort criteria](#cohort-criteria)",
}

_PRELUDE = f"""# Reference of the resources

API group `{GROUP}`, version `{VERSION}`; Kubernetes 1.33 or newer. The API server checks all that stands here when an
object is applied, and names the field that is wrong. `kubectl explain pilots.spec` shows the same texts. A field that
is not listed is refused (`kubectl apply` validates strictly). `null` is the same as leaving a field away.

Argo CD compares without the defaults of a CRD unless it asks the API server: give the Application the annotation
`argocd.argoproj.io/compare-options: ServerSideDiff=true`, or write the defaults out.

## Durations

Numbers with units, as Prometheus writes them: `90s`, `10m`, `1h30m`, `14d`. The parts add up.

| ms | s | m | h | d | w |
|---|---|---|---|---|---|
| 1/1000 s | second | 60 s | 60 m | 24 h | 7 d |

A day is 24 hours; only a criterion's `for` of whole days, from `2d` on, counts days of `spec.timeZone`. A number has at
most 6 digits, a duration at most 6 parts.

## Criteria and bounds

A criterion is `INDICATOR OP VALUE[UNIT]`. It may end with `for DURATION` (it holds without a break for that long) or
with `in DURATION` (measured over a window of that length): `error_ratio > 1% for 10m`, `tickets > 50 in 1h`. A bound is
`OP VALUE[UNIT]`: `< 50ms`. OP is one of `<`, `<=`, `>`, `>=`, `==`, `!=`. UNIT is `%`, `ms`, `s`, `m`, `h`, `d` or
nothing, and has to fit the indicator's unit: where it does not, the condition `Stalled` says so.

In the indicator's place may stand a function: `lift(INDICATOR) OP VALUE[UNIT] significant` (treatment against control),
`score(SCORE) OP VALUE [for DURATION]`, `incidents(WORDS) OP VALUE [for DURATION | in DURATION]` with one of `critical`,
`major`, `minor` and one of `open`, `resolved`, `any`, or either: `incidents(critical, open) == 0 for 7d`.

## Cohort criteria

Terms joined by `and` and `or` (`and` binds closer). A term is `ATTRIBUTE OP LITERAL` or `ATTRIBUTE in [LITERAL, ...]`;
a literal is a number, a text in single quotes, `true` or `false`: `device == 'mobile' and country in ['de', 'at']`.
"""


def reference(kinds: tuple[type[Resource], ...]) -> str:
    """The whole page."""
    return "\n".join([_PRELUDE, *(line for kind in kinds for line in _kind(kind))])


def _kind(kind: type[Resource]) -> Iterator[str]:
    schema = object_schema(kind)
    short = ", ".join(f"`{name}`" for name in kind.short_names)
    always = ", ".join(column["name"] for column in kind.printer_columns if not column.get("priority"))
    wide = ", ".join(column["name"] for column in kind.printer_columns if column.get("priority"))
    yield from (f"## {kind.kind}", "", schema["description"], "")
    yield f"- {'In a namespace' if kind.namespaced else 'Cluster-wide'}; category `{', '.join(kind.categories)}`"
    yield f"- `kubectl get {kind.plural}`, short {short}, shows {always}; with `-o wide` also {wide}"
    yield from _rules(schema)
    yield ""
    for name in ("spec", "status"):
        if name in schema["properties"]:
            yield from _object(f"{kind.kind} {name}", schema["properties"][name], ())


def _object(path: str, schema: Mapping[str, Any], listed: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """The section of one object, and those of the objects in it; `listed` are the rules of the list that it is in."""
    yield from (f"### {path}", "", schema["description"], "")
    yield from ("| field | type | default | what it is |", "|---|---|---|---|")
    for name, field in schema["properties"].items():
        default = "required" if name in schema.get("required", ()) else _default(field)
        yield f"| `{name}` | {_type(field)} | {default} | {_text(field)} |"
    yield from _rules({KEY: [*listed, *schema.get(KEY, ())]})
    yield ""
    for name, field in schema["properties"].items():
        if "properties" in field:
            yield from _object(f"{path}.{name}", field, ())
        elif "properties" in field.get("items", {}):
            yield from _object(f"{path}.{name}[]", field["items"], field.get(KEY, ()))


def _rules(schema: Mapping[str, Any]) -> list[str]:
    made = [f"- {validation['message']}" for validation in schema.get(KEY, ())]
    return ["", "The API server refuses what breaks a rule, and says:", "", *made] if made else []


def _type(field: Mapping[str, Any]) -> str:
    if "items" in field:
        least, most = field.get("minItems"), field["maxItems"]
        return f"list of {_type(field['items'])}; {f'{least} to {most}' if least else f'at most {most}'}"
    if "additionalProperties" in field:
        return f"map of {_type(field['additionalProperties'])}; at most {field['maxProperties']}"
    if field.get(INT_OR_STRING):
        return "integer or string"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if field.get("format") == "date-time":
        return "time"
    return _NAMED_TYPES.get(field.get("pattern", ""), str(field["type"]) + _length(field) + _range(field))


def _length(field: Mapping[str, Any]) -> str:
    return f" ({field['maxLength']} characters)" if "maxLength" in field else ""


def _range(field: Mapping[str, Any]) -> str:
    if "maximum" in field:
        return f", {field['minimum']} to {field['maximum']}"
    return f", from {field['minimum']}" if "minimum" in field else ""


def _default(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    if default is None:
        return ""
    return "its fields' defaults" if isinstance(default, dict) else f"`{json.dumps(default)}`"


def _text(field: Mapping[str, Any]) -> str:
    """Description, rules and pattern; an object's rules stand in its own section, a named type's in the prelude."""
    parts = [field.get("description", "")]
    item = field.get("items", {})
    for node in () if "properties" in field or "properties" in item else (field, item):
        named, pattern = node.get("pattern") in _NAMED_TYPES, node.get("pattern")
        messages = [validation["message"] for validation in node.get(KEY, ())]
        parts += [f"Rule: {message}." for message in messages[named:]]
        if pattern and not named:
            parts.append(f"Pattern: `{pattern}`.")
    return " ".join(parts).replace("|", "\\|")
