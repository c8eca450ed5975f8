"""Writes what is made from the models: `crds/`, the chart's copies, `docs/reference.md`, the schema of the record.

`python -m pilotage.resources.generate` writes; with `--check` it names the files that are not current and exits with 1.
The only module of the resources that touches files.
"""

import argparse
import sys
from pathlib import Path

import yaml

from pilotage.resources.cloudevents import record_schema
from pilotage.resources.crd import KINDS, definition
from pilotage.resources.reference import reference
from pilotage.resources.tenant_record import TENANT_MODELS

ROOT = Path(__file__).parents[3]
_HEADER = "# Generated from operator/pilotage/resources by `make generate`: change it there.\n"
_WIDTH = 120


def generated() -> dict[Path, str]:
    """Every generated file's path and text."""
    schema = record_schema(TENANT_MODELS)
    made = {ROOT / "docs/reference.md": reference(KINDS), ROOT / "docs/record.schema.json": schema}
    for kind in KINDS:
        crd = definition(kind)
        text = _HEADER + yaml.safe_dump(crd, sort_keys=False, width=_WIDTH, allow_unicode=True)
        for folder in ("crds", "charts/pilotage/files/crds"):
            made[ROOT / folder / f"{kind.plural}.yaml"] = text
    return made


def stale() -> list[Path]:
    """The generated files that are missing or old, and definitions of kinds that are no more."""
    wanted = generated()
    old = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    folders = {path.parent for path in wanted if path.suffix == ".yaml"}
    return old + sorted(path for folder in folders for path in folder.glob("*.yaml") if path not in wanted)


def write() -> list[Path]:
    """Make all files current; says which ones changed."""
    changed = stale()
    wanted = generated()
    for path in changed:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()
    return changed


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is not current")
    check = parser.parse_args().check
    for path in stale() if check else write():
        verb = "is not current: run `make generate`" if check else "written"
        print(f"{path.relative_to(ROOT)} {verb}")
    return 1 if check and stale() else 0


if __name__ == "__main__":
    sys.exit(main())
