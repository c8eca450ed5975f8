"""Bring objectives that are written down elsewhere into Pilotage's words."""

import argparse
import re
import sys
from pathlib import Path

HELP = "make indicators and objectives of OpenSLO documents"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pilotage import`."""
    formats = parser.add_subparsers(metavar="FORMAT", required=True)
    openslo = formats.add_parser("openslo", help="OpenSLO v1", description=_openslo.__doc__)
    openslo.add_argument("file", type=Path, metavar="FILE", help="OpenSLO v1 documents as YAML; - reads standard input")
    openslo.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where to write; standard output if not given"
    )
    openslo.add_argument(
        "--flag", metavar="KEY", help="flag and name of the rollout that is written; the file's name if not given"
    )
    openslo.set_defaults(read=_openslo)


def execute(arguments: argparse.Namespace) -> int:
    """Read, write, and tell on standard error what was not carried over."""
    return int(arguments.read(arguments))


def _openslo(arguments: argparse.Namespace) -> int:
    """Write IndicatorTemplates and a paused PilotRollout for OpenSLO v1 documents, with comments on what was lost.

    Ends with 1 if a document had to be left out.
    """
    from pilotage.openslo.convert import import_openslo  # noqa: PLC0415 - only this command needs it
    from pilotage.openslo.documents import OpenSloError  # noqa: PLC0415
    from pilotage.openslo.writing import NothingImportedError, write_yaml  # noqa: PLC0415

    from_input = str(arguments.file) == "-"
    flag = arguments.flag or ("imported" if from_input else _name(arguments.file.stem))
    if flag != _name(flag):
        print(f"--flag: {flag!r} can't name a rollout; write {_name(flag)}", file=sys.stderr)
        return 2
    try:
        text = sys.stdin.read() if from_input else arguments.file.read_text(encoding="utf-8")
        imported = import_openslo(text)
        for note in imported.notes:
            print(note, file=sys.stderr)
        written = write_yaml(imported, source="standard input" if from_input else arguments.file.name, flag=flag)
        if arguments.output:
            arguments.output.write_text(written, encoding="utf-8")
    except (OpenSloError, NothingImportedError, OSError, UnicodeDecodeError) as error:
        print(f"nothing was imported: {error}", file=sys.stderr)
        return 1
    if not arguments.output:
        print(written, end="")
    return 1 if imported.lost else 0


def _name(text: str) -> str:
    """The text as an object's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-") or "imported"
