"""The commands of `python -m testbed` tell how to go on, and leave nothing behind."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from testbed import wait_until

_TESTBED = [sys.executable, "-m", "testbed"]


@pytest.mark.cluster("etcd", "kube-apiserver", "kubectl")
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 0), (signal.SIGTERM, 0)]
)
def test_a_cluster_that_is_ended_leaves_no_process_and_no_folder_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, status: int
) -> None:
    monkeypatch.setenv("CLUSTER", "testbed")
    command = [*_TESTBED, "cluster", "--components", "etcd,kube-apiserver"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as popen:
        assert popen.stdout is not None
        instructions = "".join(iter(popen.stdout.readline, "Ctrl-C ends it and removes all of it.\n"))
        children = psutil.Process(popen.pid).children(recursive=True)
        assert {re.sub("-[0-9a-f]{16}$", "", child.name())[:14] for child in children} >= {"etcd", "kube-apiserver"}
        popen.send_signal(number)
        popen.communicate(timeout=30)
    assert popen.returncode == status
    kubeconfig = Path(next(re.finditer(r"export KUBECONFIG=(\S+)", instructions))[1])
    wait_until(lambda: not kubeconfig.parent.exists(), "the cluster's folder to be removed", seconds=15)
    wait_until(lambda: not any(map(_is_there, children)), "all children to end", seconds=15)


def _is_there(process: psutil.Process) -> bool:
    # Where nothing reaps orphans (a container without init), what is gone stays a zombie for ever.
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_the_doctor_says_where_everything_is_or_how_it_would_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    (tmp_path / "kubectl").write_text("#!/bin/sh\n")
    (tmp_path / "kubectl").chmod(0o755)
    report = subprocess.check_output([*_TESTBED, "doctor"], text=True)
    assert re.search(rf"^kubectl +{tmp_path}/kubectl  \(PATH\)$", report, re.MULTILINE)
    assert re.search(r"^kwok +missing: built from source, about 2.8 min", report, re.MULTILINE)
    assert re.search(r"^go +missing: fetched from its Python package", report, re.MULTILINE)


def test_an_error_is_one_message_and_not_a_traceback() -> None:
    done = subprocess.run([*_TESTBED, "build", "kubelet"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("testbed: unknown program kubelet: the testbed has etcd")
    assert "Traceback" not in done.stderr
