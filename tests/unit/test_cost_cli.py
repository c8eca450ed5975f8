"""`pilotage report chargeback` and `governance` on the command line: what is refused, and with which words."""

from pathlib import Path

import pytest

from pilotage.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chargeback", "--month=2026-13"], "write it as YYYY-MM, such as 2026-11"),
        (["chargeback", "--format=html"], "chargeback is written as csv or json, not as html"),
        (["governance", "--format=csv"], "governance is written as markdown or html, not as csv"),
        (["governance", "--month=november"], "write it as YYYY-MM"),
        (["shop/search", "--output=x.html", "--prometheus=http://a", "--month=2026-11"], "are for chargeback and"),
        (["shop/search", "--format=html"], "are for chargeback and governance"),
        (["shop/search"], "a rollout's report needs --output and --prometheus"),
        (["costs"], "'costs' is not NAMESPACE/NAME, chargeback or governance"),
    ],
)
def test_a_misuse_is_told_with_what_to_write(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["chargeback", "governance"])
def test_without_a_cluster_it_says_how_to_name_one_and_writes_nothing(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "report"
    arguments = ["report", kind, f"--kubeconfig={tmp_path / 'missing'}", f"--output={output}"]
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert "no report was written: no cluster is known: give --kubeconfig" in said.err
    assert said.out == ""
    assert not output.exists()
