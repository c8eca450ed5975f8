"""Programs are built once, stored whole, and what can't be built says what to install.

`go` is a shell script here: it counts its runs and takes as long as the test wants, which the real one does not. The
real one builds what every other test of a cluster runs.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from testbed import SetupError, wait_until
from testbed.gomodules import Module, build
from testbed.gotoolchain import find

# Answers `go env GOVERSION`; for `go -C FOLDER build ... -o OUTPUT/ PACKAGE` notes the run and writes OUTPUT/tiny.
_GO = """#!/bin/sh
if [ "$1" = env ]; then echo "${FAKE_GO_VERSION:-go1.26.1}"; exit; fi
echo run >> "$FAKE_GO_RUNS"
while [ "$1" != -o ]; do shift; done
printf 'half' > "$2/tiny"
sleep "${FAKE_GO_SECONDS:-0}"
if [ -n "$FAKE_GO_FAILS" ]; then echo 'main.go:1: undefined: luck'; exit 1; fi
printf '#!/bin/sh\\necho whole\\n' > "$2/tiny"
chmod +x "$2/tiny"
"""

_BUILD = """
import sys
from pathlib import Path
from testbed.gomodules import Module, build
module = Module(Path(sys.argv[1]), {"tiny": "./cmd/tiny"}, {"tiny": 0.1})
print(build(module, ["tiny"])["tiny"])
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """Give a module with one program, an empty cache, and a `go` that counts its runs in `tmp_path / "runs"`."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "go").write_text(_GO)
    (programs / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FAKE_GO_RUNS", str(tmp_path / "runs"))
    folder = tmp_path / "tinymodule"
    (folder / "cmd" / "tiny").mkdir(parents=True)
    (folder / "go.mod").write_text("module tiny\n")
    (folder / "go.sum").write_text("")
    (folder / "cmd" / "tiny" / "main.go").write_text("package main\n")
    return Module(folder, {"tiny": "./cmd/tiny"}, {"tiny": 0.1})


def _start_build(module: Module) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _BUILD, str(module.folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_builds_at_once_build_once_and_the_second_says_that_it_waits(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_SECONDS", "1")
    with _start_build(module) as first:
        wait_until((tmp_path / "runs").exists, "the first build to start")
        with _start_build(module) as second:
            outputs = [process.communicate(timeout=30) for process in (first, second)]
    assert (tmp_path / "runs").read_text() == "run\n"
    assert outputs[0][0] == outputs[1][0] == f"{module.cached('tiny')}\n"
    assert "another process is building it, waiting" in outputs[1][1]
    assert subprocess.check_output([module.cached("tiny")], text=True) == "whole\n"


def test_a_build_that_is_killed_leaves_nothing_and_the_next_one_builds(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_SECONDS", "1000")
    with _start_build(module) as killed:
        wait_until((tmp_path / "runs").exists, "the build to start")
        killed.kill()
    cache = module.cached("tiny").parent
    wait_until(lambda: not list(cache.glob("build-*")), "the half-built program to be removed")
    assert not module.cached("tiny").exists()
    monkeypatch.setenv("FAKE_GO_SECONDS", "0")
    assert build(module, ["tiny"])["tiny"].exists()


def test_what_is_built_is_not_built_again_until_a_pin_changes(module: Module, tmp_path: Path) -> None:
    first = build(module, ["tiny"])["tiny"]
    build(module, ["tiny"])
    assert (tmp_path / "runs").read_text() == "run\n"
    (module.folder / "go.sum").write_text("another pin\n")
    assert build(module, ["tiny"])["tiny"] != first
    assert (tmp_path / "runs").read_text() == "run\nrun\n"


def test_a_build_that_fails_shows_what_the_compiler_says(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_GO_FAILS", "yes")
    with pytest.raises(SetupError, match="undefined: luck"):
        build(module, ["tiny"])
    assert not module.cached("tiny").exists()


def test_the_screen_shows_what_is_built_and_for_how_long(module: Module, capsys: pytest.CaptureFixture[str]) -> None:
    build(module, ["tiny"])
    assert "testbed: building tiny ...\ntestbed: building tiny: done after 0 s\n" in capsys.readouterr().err


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize("version", ["go1.25.9", "go1.9", "devel"])
def test_a_go_that_is_too_old_is_not_used(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    assert find() is not None
    monkeypatch.setenv("FAKE_GO_VERSION", version)
    assert find() is None


def test_without_go_and_without_its_package_the_message_says_what_to_install(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("FAKE_GO_VERSION", "none")
    (tmp_path / "bin" / "go").unlink()
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # pip is the real one; it just finds nothing
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(SetupError, match=r"go is missing .*: install Go 1\.26 or newer \(https://go\.dev/dl\)"):
        build(module, ["tiny"])
