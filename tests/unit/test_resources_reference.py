"""The reference lists every field, and what it shows as an example is what the grammar reads."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from pilotage.resources.base import DURATION_PATTERN
from pilotage.resources.crd import KINDS, object_schema
from pilotage.resources.grammar import AUDIENCE_PATTERN, BOUND_PATTERN, CRITERION_PATTERN
from pilotage.resources.reference import reference

PAGE = reference(KINDS)


def rows(page: str) -> set[str]:
    """`PilotRollout spec.steps[].hold` for each row of each table."""
    found, section = set(), ""
    for line in page.splitlines():
        if line.startswith("### "):
            section = line.removeprefix("### ")
        elif row := re.match(r"\| `(\w+)` \|", line):
            found.add(f"{section}.{row[1]}")
    return found


def fields(path: str, schema: Mapping[str, Any]) -> Iterator[str]:
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from fields(f"{path}.{name}[]" if "items" in child else f"{path}.{name}", child.get("items", child))


def test_every_field_has_a_row() -> None:
    wanted = {
        field
        for kind in KINDS
        for part, schema in object_schema(kind)["properties"].items()
        if part in {"spec", "status"}
        for field in fields(f"{kind.kind} {part}", schema)
    }
    assert wanted == rows(PAGE)


def test_tables_are_whole() -> None:
    for line in PAGE.splitlines():
        if line.startswith("| `"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 5, line


def test_links_lead_to_headings() -> None:
    headings = {line.lstrip("# ").lower().replace(" ", "-") for line in PAGE.splitlines() if line.startswith("#")}
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= headings


@pytest.mark.parametrize(
    ("heading", "pattern", "examples"),
    [
        ("Durations", DURATION_PATTERN, 5),
        ("Criteria and bounds", f"{CRITERION_PATTERN}|{BOUND_PATTERN}", 4),
        ("Cohort criteria", AUDIENCE_PATTERN, 1),
    ],
)
def test_examples_are_what_the_grammar_reads(heading: str, pattern: str, examples: int) -> None:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    shown = [text for text in re.findall(r"`([^`]+)`", section.replace("\n", " ")) if re.fullmatch(pattern, text)]
    assert len(shown) == examples
