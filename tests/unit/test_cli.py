"""The command line: light to ask for help, precise about misuse."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pilotage import __version__
from pilotage.cli.main import main
from tests.unit.test_kube_faults import kubeconfig


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["flags", "--help"],
        ["report", "--help"],
        ["backtest", "--help"],
        ["import", "openslo", "--help"],
    ],
)
def test_help_is_there(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    assert "usage: pilotage" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"pilotage {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run"], ["run", "--prometheus=x", "--workers=many"]])
def test_misuse_ends_with_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_report_of_nothing_in_particular_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "shop", "--output=x.html", "--prometheus=http://127.0.0.1:9"]) == 2
    assert "is not NAMESPACE/NAME" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["--prometheus=prometheus:9090"], "'prometheus:9090' is not a URL, such as http://localhost:9090"),
        (["--prometheus=http://x", "--flag-service=flags"], "'flags' is not HOST:PORT, such as localhost:8015"),
    ],
)
def test_an_address_that_can_not_be_one_is_misuse(
    arguments: list[str], remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", *arguments])
    assert caught.value.code == 2
    assert remedy in capsys.readouterr().err


def test_a_report_without_a_cluster_says_how_to_name_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["report", "shop/search", "--output=x.html", "--prometheus=http://127.0.0.1:9"]
    assert main([*arguments, f"--kubeconfig={tmp_path / 'nothing'}"]) == 1
    assert "no cluster is known: give --kubeconfig, or set KUBECONFIG" in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'kopf', 'kubernetes', 'grpc', 'matplotlib', 'aiohttp', 'pydantic', 'prometheus_api_client'}"
    code = f"import sys\nfrom pilotage.cli.main import _parser\n_parser()\nprint({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def run_operator(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What `pilotage run` says where it ends by itself."""
    command = [sys.executable, "-m", "pilotage", "run", "--prometheus=http://127.0.0.1:9", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_port_that_is_taken_is_said_and_ends_the_operator(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run_operator(
            f"--http-port={taken.getsockname()[1]}", f"--kubeconfig={kubeconfig(tmp_path, 'http://127.0.0.1:9')}"
        )
    assert done.returncode == 1
    assert "can't start: " in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_cluster_the_operator_says_what_to_give(tmp_path: Path) -> None:
    done = run_operator("--http-port=0", f"--kubeconfig={tmp_path}/nowhere")
    assert done.returncode == 1
    assert "give --kubeconfig, or run in a pod" in done.stderr
    assert "Traceback" not in done.stderr
