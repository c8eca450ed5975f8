"""Where a cluster comes from follows `CLUSTER` and the machine. (Kind needs Docker: no test here runs it.)"""

from pathlib import Path

import pytest

from testbed import Cluster, SetupError, open_cluster, providers


@pytest.fixture
def docker_that_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder that PATH consists of; a `docker` in it says yes to everything."""
    (tmp_path / "docker").write_text("#!/bin/sh\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CLUSTER", raising=False)
    return tmp_path


def test_without_docker_it_is_the_testbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CLUSTER", raising=False)
    assert providers.choose() == "testbed"


def test_with_docker_but_without_kind_it_is_the_testbed_and_says_so(
    docker_that_answers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert docker_that_answers.exists()
    assert providers.choose() == "testbed"
    assert "`kind` is not on PATH" in capsys.readouterr().err


def test_with_docker_and_kind_it_is_kind_unless_the_testbed_is_asked_for(
    docker_that_answers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (docker_that_answers / "kind").write_text("#!/bin/sh\n")
    (docker_that_answers / "kind").chmod(0o755)
    assert providers.choose() == "kind"
    monkeypatch.setenv("CLUSTER", "testbed")
    assert providers.choose() == "testbed"


def test_a_cluster_of_another_kind_is_refused_with_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "minikube")
    with pytest.raises(SetupError, match="CLUSTER is 'minikube': use one of current, kind, testbed, or leave it unset"):
        open_cluster()


def test_kind_without_kind_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "kind")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"`kind` is not on PATH: install it"):
        open_cluster()


@pytest.mark.cluster("kubectl")
def test_a_current_cluster_that_does_not_answer_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTER", "current")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(SetupError, match=r"(?s)current kubeconfig can't be used: .*Point KUBECONFIG at a cluster"):
        open_cluster()


def test_the_current_cluster_is_used_as_it_is_and_left_alone(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTER", "current")
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    with open_cluster() as current:
        assert current.provider == "current"
        assert (current.server, current.ca.read_bytes()) == (cluster.server, cluster.ca.read_bytes())
        assert not current.components
        assert namespace in current.kubectl("get", "namespaces")
    assert not current.directory.exists()
    assert namespace in cluster.kubectl("get", "namespaces")
