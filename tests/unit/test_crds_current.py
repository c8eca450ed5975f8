"""Generated files are current, and the command says which one is not."""

from pathlib import Path

import pytest
import yaml

from pilotage.resources import generate
from pilotage.resources.crd import KINDS


def test_generated_files_are_current() -> None:
    assert [str(path.relative_to(generate.ROOT)) for path in generate.stale()] == []


def test_the_chart_holds_the_same_definitions() -> None:
    for kind in KINDS:
        ours = generate.ROOT / "crds" / f"{kind.plural}.yaml"
        assert ours.read_text() == (generate.ROOT / "charts/pilotage/files/crds" / ours.name).read_text()


def test_a_definition_reads_from_the_top() -> None:
    for kind in KINDS:
        text = (generate.ROOT / "crds" / f"{kind.plural}.yaml").read_text()
        assert text.startswith("# Generated")
        assert list(yaml.safe_load(text)) == ["apiVersion", "kind", "metadata", "spec"]


def test_an_old_a_missing_and_a_forgotten_file_are_found_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    generate.write()
    assert generate.stale() == []
    old, missing, forgotten = (
        tmp_path / "crds" / n for n in ("pilotrollouts.yaml", "indicatortemplates.yaml", "x.yaml")
    )
    old.write_text("old")
    missing.unlink()
    forgotten.write_text("of a kind that is no more")

    monkeypatch.setattr("sys.argv", ["generate", "--check"])
    assert generate.main() == 1
    told = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in told} == {f"crds/{path.name}" for path in (old, missing, forgotten)}
    assert old.read_text() == "old"

    monkeypatch.setattr("sys.argv", ["generate"])
    assert generate.main() == 0
    monkeypatch.setattr("sys.argv", ["generate", "--check"])
    assert generate.main() == 0
    assert not forgotten.exists()
