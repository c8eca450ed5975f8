"""What `pilotage import openslo` writes is applied as it is: the API server takes all of it."""

import subprocess
from pathlib import Path

import pytest

from pilotage.cli.main import main
from testbed import Cluster

DOCUMENTS = Path(__file__).parent / "data" / "openslo.yaml"


@pytest.mark.usefixtures("crds")
def test_imported_documents_are_accepted_without_a_warning(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    output = tmp_path / "made.yaml"
    assert main(["import", "openslo", str(DOCUMENTS), "-o", str(output), "--flag", "checkout"]) == 0
    command = ["apply", "--dry-run=server", f"--namespace={namespace}", "-f", str(output)]
    done = subprocess.run(
        [cluster.kubectl_path, f"--kubeconfig={cluster.kubeconfig}", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    made = [line.split()[0] for line in done.stdout.splitlines()]
    assert made == [
        "indicatortemplate.pilotage.dev/checkout-latency",
        "indicatortemplate.pilotage.dev/checkout-errors",
        "indicatortemplate.pilotage.dev/search-availability",
        "pilotrollout.pilotage.dev/checkout",
    ]
