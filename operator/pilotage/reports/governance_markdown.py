"""Writes a governance report as Markdown. Pure; what comes from a cluster can't end its cell, nor become markup."""

from collections.abc import Iterable, Sequence
from datetime import UTC

from pilotage.reports.governance import Governance
from pilotage.reports.governance_text import Cell, Table, facts, sentence, tables


def to_markdown(report: Governance) -> str:
    """The report as Markdown."""
    written = f"{report.written_at.astimezone(UTC):%Y-%m-%d %H:%M UTC}"
    lines = [f"# Governance of {_escaped(report.organization)}", "", f"Written {written}. {sentence(report)}", ""]
    lines += [
        f"- **{name}**: {value} ({detail})" if detail else f"- **{name}**: {value}"
        for name, value, detail in facts(report)
    ]
    for table in tables(report):
        lines += ["", f"## {table.title}", ""]
        if table.note:
            lines += [table.note, ""]
        lines += _rows(table) if table.rows else [table.empty]
    return "\n".join(lines) + "\n"


def _rows(table: Table) -> Iterable[str]:
    yield _line(table.heads)
    yield "|" + "---|" * len(table.heads)
    for row in table.rows:
        yield _line([_marked(cell) for cell in row])


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _marked(cell: Cell) -> str:
    text = _escaped(cell.text)
    return f"**{text}**" if cell.tone in ("bad", "caution") and text else text


def _escaped(text: str) -> str:
    """A text that can't end its cell, nor begin anything that Markdown shows or runs."""
    one_line = " ".join(text.split())
    for mark in "\\`*_[]|~":
        one_line = one_line.replace(mark, "\\" + mark)
    return one_line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
