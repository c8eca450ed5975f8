"""The examples, the README's rollout and tenant: applied as a user does, without a warning, and understood."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from pilotage.resources.indicators import IndicatorTemplate
from pilotage.resources.rollout import PilotRollout
from pilotage.rollout.plan import read_plan
from testbed import Cluster

ROOT = Path(__file__).parents[2]


def apply(cluster: Cluster, namespace: str, *paths: Path) -> str:
    """What kubectl says on both channels; templates are cluster-scoped and stay."""
    files = [argument for path in paths for argument in ("-f", str(path))]
    done = subprocess.run(
        [cluster.kubectl_path, f"--kubeconfig={cluster.kubeconfig}", "apply", f"--namespace={namespace}", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def assert_understood(cluster: Cluster, namespace: str, *names: str) -> None:
    listed = json.loads(cluster.kubectl("get", "indicatortemplates", "-o", "json"))["items"]
    templates = {item["metadata"]["name"]: IndicatorTemplate.model_validate(item).spec for item in listed}
    for name in names:
        stored = json.loads(cluster.kubectl("get", "pilot", name, f"--namespace={namespace}", "-o", "json"))
        plan = read_plan(PilotRollout.model_validate(stored), templates)
        assert len(plan.steps) == len(stored["spec"]["steps"])


@pytest.mark.usefixtures("crds")
def test_both_pilots_apply_without_a_warning_and_are_understood(cluster: Cluster, namespace: str) -> None:
    said = apply(cluster, namespace, ROOT / "examples/roadmap", ROOT / "examples/semantic-search")
    assert "warning" not in said.lower()
    assert_understood(cluster, namespace, "assistant", "semantic-search", "search-ranking", "search-personalization")


@pytest.mark.usefixtures("crds")
def test_the_readmes_rollout_applies_without_a_warning_and_is_understood(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    manifest = shown_in_readme("PilotRollout", tmp_path)
    manifest.write_text(manifest.read_text().replace(", namespace: shop", ""))
    said = apply(cluster, namespace, manifest, ROOT / "examples/roadmap/templates.yaml")
    assert "warning" not in said.lower()
    assert_understood(cluster, namespace, "one-click-checkout")


@pytest.mark.usefixtures("crds")
def test_the_readmes_tenant_applies_without_a_warning(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    manifest = shown_in_readme("TenantQuota", tmp_path)
    said = apply(cluster, namespace, manifest)
    cluster.kubectl("delete", "-f", str(manifest))
    assert said == "tenantquota.pilotage.dev/product-search created\n"


def shown_in_readme(kind: str, folder: Path) -> Path:
    """A file with the manifest of this kind that the README shows."""
    shown = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    [text] = [text for text in shown if f"kind: {kind}\n" in text]
    file = folder / f"{kind}.yaml"
    file.write_text(text)
    return file
