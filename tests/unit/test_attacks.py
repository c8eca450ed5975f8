"""Attacks by what a tenant may write, as far as code and schema can tell: references, and the cost of matching text.

Attacks on a real API server are in tests/cluster/test_attacks.py; docs/security.md has the table of all of them.
"""

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import pilotage

ROOT = Path(__file__).parents[2]
TENANTS_KINDS = ("pilotrollouts", "pilotdecisions", "pilotincidents")

REACHING = re.compile(
    r"namespace|ur[il]$|host|address|endpoint|webhook|path|file$|secret|token|password|credential|kubeconfig"
    r"|serviceaccount|apiversion|group$|kind$|image$|command",
    re.IGNORECASE,
)
"""Names of fields by which a resource could reach beyond its namespace, or make the operator fetch something."""


EXCEPTED = {
    # Of the rollout's own namespace, and only what has a scale subresource: tests/cluster/test_attacks.py tries others.
    "spec.delivery.workload.apiVersion",
    "spec.delivery.workload.kind",
}


def fields(schema: dict[str, Any], at: str = "spec") -> Iterator[str]:
    """The paths of all fields of a schema."""
    for name, part in schema.get("properties", {}).items():
        yield f"{at}.{name}"
        yield from fields(part, f"{at}.{name}")
    for each in ("items", "additionalProperties"):
        if isinstance(schema.get(each), dict):
            yield from fields(schema[each], f"{at}[]")


def spec_of(plural: str) -> dict[str, Any]:
    crd = yaml.safe_load((ROOT / "crds" / f"{plural}.yaml").read_text())
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


@pytest.mark.parametrize("plural", TENANTS_KINDS)
def test_confused_deputy_no_field_of_a_tenants_resource_names_another_namespace_an_address_or_a_secret(
    plural: str,
) -> None:
    known = list(fields(spec_of(plural)))
    assert len(known) > 5
    reaching = {path for path in known if REACHING.search(path.rsplit(".", 1)[1])}
    assert reaching - EXCEPTED == set()


@pytest.mark.parametrize("plural", TENANTS_KINDS)
def test_confused_deputy_no_field_holds_an_object_of_any_kind(plural: str) -> None:
    """A field that keeps what nobody declared is a manifest in disguise."""
    text = str(spec_of(plural))
    assert "x-kubernetes-preserve-unknown-fields" not in text
    assert "x-kubernetes-embedded-resource" not in text


ROOMS = ("controller", "delivery", "flags", "judging", "metrics", "resources", "rollout", "tenancy")
"""What reads resources; reports and commands run with the rights of who starts them."""


def _patterns() -> dict[str, re.Pattern[str]]:
    """All patterns that modules of the operator keep."""
    found: dict[str, re.Pattern[str]] = {}
    for module in pkgutil.walk_packages(pilotage.__path__, "pilotage."):
        if module.name.count(".") < 2 or module.name.split(".")[1] not in ROOMS:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            for each in value if isinstance(value, tuple) else (value,):
                if isinstance(each, re.Pattern) and isinstance(each.pattern, str):
                    found[f"{module.name}.{name}:{each.pattern[:40]}"] = each
    return found


UNITS = ("a", "0", " ", "-", ".", "a.", "a-", "0m", "1h", '"', '\\"', "(", "[", "{", "=", "a,", "<", "a ", "a or ")
LENGTH = 500
"""Enough to tell a pattern whose time grows with the cube or worse from those that are harmless."""

TOO_LONG_SECONDS = 2.0
"""A cube takes longer, and a harmless pattern takes a thousandth of it, also on a machine that is busy."""


def test_exhaustion_by_a_regular_expression_no_text_takes_long_to_match() -> None:
    """Python's `re` backtracks: 26 characters took seconds with a careless pattern. Ours are tried with long texts."""
    patterns = _patterns()
    assert len(patterns) > 20
    slow = []
    for where, pattern in patterns.items():
        for unit in UNITS:
            text = unit * (LENGTH // len(unit)) + "\x00"
            began = time.process_time()
            pattern.fullmatch(text)
            pattern.search(text)
            if (took := time.process_time() - began) > TOO_LONG_SECONDS:
                slow.append(f"{where} takes {took:.1f} s for {unit!r}")
    assert slow == []


EVALUATORS = {"eval", "exec", "compile", "__import__"}


def _calls() -> Iterator[tuple[Path, ast.Call]]:
    for file in sorted((ROOT / "operator" / "pilotage").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                yield file, node


OWN = {
    ("criteria.py", "form"): "each of grammar.FORMS",
    ("periods.py", "m"): "each of NEEDS_FIRST_DAY",
    ("periods.py", "u"): "each of NEEDS_FIRST_DAY",
    ("periods.py", "pattern"): "each of the rules that can't be",
}
"""Patterns that have a variable's name and are constants of ours all the same."""


def test_exhaustion_by_a_regular_expression_no_tenants_text_becomes_a_pattern() -> None:
    """Nothing that a spec says is compiled, evaluated or executed, unless it was escaped."""
    suspects = []
    for file, call in _calls():
        function = call.func
        if isinstance(function, ast.Name) and function.id in EVALUATORS:
            suspects.append((file.name, function.id))
        if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)):
            continue
        if function.value.id == "re" and function.attr != "escape" and isinstance(call.args[0], ast.Name):
            name = call.args[0].id
            if not name.strip("_").isupper() and (file.name, name) not in OWN:
                suspects.append((file.name, name))
    assert suspects == []


def test_every_test_that_the_docs_name_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (ROOT / "docs" / "security.md").read_text())
    assert len(named) > 25
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text()]
    assert missing == []
