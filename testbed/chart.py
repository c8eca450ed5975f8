"""Renders the chart with helm, and makes of it the manifests for people without helm.

`python -m testbed.chart` writes `charts/manifests/`; a test keeps the files current. Why they exist is in
docs/decisions/0005-install-without-helm.md.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from testbed.binaries import provide

_ROOT = Path(__file__).parents[1]
_CHARTS = _ROOT / "charts"
CRDS = _ROOT / "crds"
CHART = _CHARTS / "pilotage"
INSTALL = _CHARTS / "manifests" / "install.yaml"
ENROLMENT = _CHARTS / "manifests" / "enrolment.yaml"
TENANT = _CHARTS / "manifests" / "enrolment-tenant.yaml"
AUTHOR = _CHARTS / "manifests" / "author.yaml"

RELEASE = "pilotage"
NAMESPACE = "pilotage-system"
"""The namespace that the manifests install into; a release of helm's may have any."""

_INSTALL_HEAD = """\
# Pilotage without helm, in the namespace pilotage-system. Made from charts/pilotage by `python -m testbed.chart`:
# change it there. What belongs to it (crds/, an image, the flag service's certificate) is in docs/install.md.
---
apiVersion: v1
kind: Namespace
metadata:
  name: pilotage-system
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""
_ENROLMENT_HEAD = """\
# Enrols one namespace: `kubectl apply --namespace=shop -f enrolment.yaml`. Made from charts/pilotage by
# `python -m testbed.chart`: change it there.
"""
_TENANT_HEAD = """\
# Enrols one namespace of a tenant, so that the operator may keep there what its TenantQuota asks for:
# `kubectl apply --namespace=shop -f enrolment-tenant.yaml`. Made from charts/pilotage by `python -m testbed.chart`:
# change it there.
"""
_AUTHOR_HEAD = """\
# Records who changed a PilotRollout last, for gates with forbidAuthor. Needs Kubernetes 1.36, and install.yaml first.
# Made from charts/pilotage by `python -m testbed.chart`: change it there.
"""
# Comments that name the template, and labels that say that helm manages what helm does not know of.
_HELMS_OWN = re.compile(r"^(# Source: .*| +app\.kubernetes\.io/managed-by: Helm| +helm\.sh/chart: .*)\n", re.MULTILINE)
_ANY_NAMESPACE = "enrolled"


class ChartError(ValueError):
    """Helm refused the chart or the values; the text is helm's."""


def render(
    helm: Path,
    values: Mapping[str, Any] | None = None,
    *,
    release: str = RELEASE,
    namespace: str = NAMESPACE,
    arguments: Sequence[str] = (),
) -> str:
    """Return what `helm template` makes of the chart, without a cluster.

    Args:
        helm: the program.
        values: in addition to the chart's own, nested as in values.yaml.
        release: name of the release.
        namespace: of the release.
        arguments: more of them for helm, such as `"--show-only=templates/crds.yaml"`.

    Raises:
        ChartError: the values don't fit the schema, or a template fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "values.yaml"
        file.write_text(json.dumps(values or {}))
        command = [
            str(helm),
            "template",
            release,
            str(CHART),
            f"--namespace={namespace}",
            f"--values={file}",
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ChartError(done.stderr)
    return done.stdout


def objects(text: str) -> list[dict[str, Any]]:
    """Return the objects of a manifest in their order."""
    return [found for found in yaml.safe_load_all(text) if found]


def manifests(helm: Path) -> dict[Path, str]:
    """Return what the files of `charts/manifests/` must hold."""
    values = {
        "crds": {"install": False},
        "flagService": {"tls": {"secretName": "pilotage-flags-tls"}},
        "rights": {"author": "never"},
    }
    everything = render(helm, values)
    author = render(helm, {"rights": {"author": "always"}}, arguments=["--show-only=templates/rights/author.yaml"])
    return {
        INSTALL: "---\n".join([_INSTALL_HEAD, *_documents(everything)]),
        ENROLMENT: "---\n".join([_ENROLMENT_HEAD, *_bindings(helm, "enrolledNamespaces", "enrolment")]),
        TENANT: "---\n".join([_TENANT_HEAD, *_bindings(helm, "enrolledTenants", "tenants")]),
        AUTHOR: "---\n".join([_AUTHOR_HEAD, *_documents(author)]),
    }


def _bindings(helm: Path, value: str, template: str) -> list[str]:
    """Return the RoleBindings of an enrolled namespace, without its name."""
    rendered = render(helm, {value: [_ANY_NAMESPACE]}, arguments=[f"--show-only=templates/rights/{template}.yaml"])
    documents = _documents(rendered.replace(f"  namespace: {_ANY_NAMESPACE}\n", ""))
    return [document for document in documents if "\nkind: RoleBinding\n" in document]


def _documents(rendered: str) -> list[str]:
    """Return the documents that helm printed, without what is helm's own in them."""
    parts = _HELMS_OWN.sub("", rendered).split("---\n")
    return [f"{part.strip()}\n" for part in parts if part.strip()]


def main() -> None:
    """Write the manifests."""
    for path, text in manifests(provide(["helm"])["helm"]).items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
