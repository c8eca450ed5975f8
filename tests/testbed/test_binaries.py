"""Programs are taken from where the user has them, before anything is fetched or built."""

from pathlib import Path

import pytest

from testbed import SetupError, binaries


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder on a machine that has nothing: no PATH, no assets, no cache."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return tmp_path


def _put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_on_a_machine_that_has_nothing_nothing_is_found(empty: Path) -> None:
    assert empty.exists()
    assert [binaries.find(program) for program in binaries.PROGRAMS] == [None] * len(binaries.PROGRAMS)


@pytest.mark.parametrize("program", ["kubectl", "prometheus"])
def test_kubectl_and_prometheus_on_path_are_taken_as_they_are(empty: Path, program: str) -> None:
    expected = _put(empty / "bin" / program)
    assert binaries.find(program) == binaries.Found(expected, "PATH")
    assert binaries.provide([program]) == {program: expected}


@pytest.mark.parametrize("program", ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"])
def test_a_control_plane_comes_from_the_assets_but_not_from_path(
    empty: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    _put(empty / "bin" / program)  # of any version: a distribution's etcd 3.4 starts, and then watches fail
    assert binaries.find(program) is None
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(empty / "assets"))
    assert binaries.find(program) is None  # what the assets lack is built
    expected = _put(empty / "assets" / program)
    assert binaries.find(program) == binaries.Found(expected, "KUBEBUILDER_ASSETS")


@pytest.mark.usefixtures("empty")
def test_a_program_that_the_testbed_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(SetupError, match="unknown program kubelet: the testbed has etcd, kube-apiserver"):
        binaries.provide(["kubelet"])


@pytest.mark.usefixtures("empty")
def test_a_first_build_says_how_long_it_takes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # so that no Go can be fetched either, and the build ends at once
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(SetupError):
        binaries.provide(["etcd", "kube-apiserver"])
    announced = capsys.readouterr().err
    assert "to build: etcd, kube-apiserver. The first build takes about" in announced
    assert "later starts take seconds" in announced
