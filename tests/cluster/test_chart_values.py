"""What a user may set in the chart, and how helm refuses the rest."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.chart import CHART, ChartError, render
from tests.cluster.chart_values import EVERYTHING


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["default", "everything"])
def test_helm_finds_no_fault_in_the_chart(helm: Path, tmp_path: Path, values: dict[str, Any]) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(values))
    command = [str(helm), "lint", str(CHART), "--strict", f"--values={file}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"replicas": 2}, "at '': additional properties 'replicas' not allowed"),
        ({"operator": {"replica": 2}}, "at '/operator': additional properties 'replica' not allowed"),
        ({"operator": {"replicas": "two"}}, "at '/operator/replicas': got string, want integer"),
        ({"operator": {"terminationGracePeriodSeconds": 5}}, "at '/operator/terminationGracePeriodSeconds': minimum"),
        (
            {"operator": {"podLabels": {"app.kubernetes.io/name": "x"}}},
            "at '/operator/podLabels/app.kubernetes.io~1name'",
        ),
        ({"operator": {"resources": {"limit": {}}}}, "at '/operator/resources': additional properties 'limit'"),
        ({"flagService": {"tls": {"secretname": "x"}}}, "at '/flagService/tls': additional properties 'secretname'"),
        ({"flagService": {"service": {"port": 8080}}}, "at '/flagService/service/port'"),
        ({"record": {"file": {"path": "/x"}}}, "at '/record/file': additional properties 'path' not allowed"),
        ({"record": {"file": {"claim": "Mine!"}}}, "at '/record/file/claim'"),
        ({"image": {"tag": "latest"}}, "at '/image/tag'"),
        ({"image": {"pullPolicy": "Sometimes"}}, "at '/image/pullPolicy'"),
        ({"prometheus": {"url": "prometheus:9090"}}, "at '/prometheus/url'"),
        ({"prometheus": {"url": "https://me:secret@prometheus"}}, "at '/prometheus/url'"),
        ({"enrolledNamespaces": ["shop", "shop"]}, "at '/enrolledNamespaces': items at 0 and 1 are equal"),
        ({"enrolledNamespaces": ["*"]}, "at '/enrolledNamespaces/0'"),
        ({"networkPolicy": {"flagsFrom": [{}]}}, "at '/networkPolicy/flagsFrom/0'"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(helm: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ChartError) as refused:
        render(helm, values)
    assert message in str(refused.value)


def test_values_and_schema_name_the_same_keys() -> None:
    schema = _schema()
    assert _keys_of_values(_values(), schema) == _keys_of_schema(schema) - {"global"}


def test_the_test_of_everything_leaves_no_key_of_the_schema_out() -> None:
    # Some exclude each other: a digest wins over a tag, a Secret of one's own makes no certificate, and so on.
    untried = {"image.repository", "image.tag", "crds.install", "flagService.tls.days"}
    assert _keys_of_schema(_schema()) - _keys_of_values(EVERYTHING, _schema()) == untried | {"global"}


def _values() -> dict[str, Any]:
    found = yaml.safe_load((CHART / "values.yaml").read_text())
    assert isinstance(found, dict)
    return found


def _schema() -> dict[str, Any]:
    found = json.loads((CHART / "values.schema.json").read_text())
    assert isinstance(found, dict)
    return found


def _keys_of_schema(schema: dict[str, Any], path: str = "") -> set[str]:
    found = set()
    for name, child in schema.get("properties", {}).items():
        found |= {f"{path}{name}"} | _keys_of_schema(child, f"{path}{name}.")
    return found


def _keys_of_values(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> set[str]:
    """The keys of these values, down to where the schema leaves a user free."""
    found = set()
    for name, value in values.items():
        found.add(f"{path}{name}")
        child = schema["properties"].get(name, {})
        if "properties" in child:
            found |= _keys_of_values(value, child, f"{path}{name}.")
    return found
