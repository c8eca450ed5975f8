"""Shows the story as it happens: a live table and the log below it on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from examples.shop.story import Sight
from pilotage.resources.status import HistoryEntry

_PHASE_STYLES = {
    "Progressing": "bold cyan",
    "Holding": "bold yellow",
    "Pending": "dim",
    "Completed": "bold green",
    "RollingBack": "bold red",
    "RolledBack": "bold red",
}
_VERDICT_STYLES = {
    "pass": "green",
    "breach": "bold red",
    "pending": "yellow",
    "no-data": "yellow",
    "unavailable": "red",
}
_ACTION_STYLES = {"RollBack": "bold red", "RolledBack": "bold red", "Complete": "bold green", "Hold": "yellow"}
_TABLE_ROWS = 12
_ALARMING = 0.01


@dataclass(frozen=True, slots=True)
class Row:
    """What the table tells of one feature."""

    feature: str
    sight: Sight
    errors: Mapping[str, float]


def describe(entry: HistoryEntry, inside: int) -> str:
    """One decision in a line, with how many clients had the treatment by then."""
    return f"{entry.action:<11}{entry.admitted:<20} {f'({inside:,} have it)':<17} {entry.message}"


class Screen:
    """The plain kind: a line for each thing that happens, with the seconds since the start."""

    def __init__(self) -> None:
        self._began_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began_at

    def say(self, text: str, style: str = "") -> None:
        """Tell one thing."""
        del style
        sys.stdout.write(f"{self.seconds:6.1f} s  {text}\n")
        sys.stdout.flush()

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self.say(f"== {title}", "bold")

    def decision(self, feature: str, entry: HistoryEntry, inside: int) -> None:
        """Tell one decision of the operator."""
        self.say(f"{feature}: {describe(entry, inside)}", _ACTION_STYLES.get(entry.action, ""))

    def show(self, row: Row) -> None:
        """Show how a feature stands; the plain kind tells decisions only."""

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Tell what is being started, and how long it took."""
        began_at = time.monotonic()
        self.say(f"{what} ...")
        yield
        self.say(f"{what}: {time.monotonic() - began_at:.1f} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the screen in order."""


class LiveScreen(Screen):
    """The kind for terminals: the table stays, the log scrolls below it."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._console = console or Console()
        self._rows: dict[str, Row] = {}
        self._log: list[Text] = []
        self._whole_log = False
        self._live = Live(console=self._console, refresh_per_second=5, get_renderable=self._render)

    def say(self, text: str, style: str = "") -> None:
        """Tell one thing."""
        self._log.append(Text.assemble((f"{self.seconds:6.1f} s  ", "dim"), (text, style)))

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Tell what is being started; how long it took is added to the line."""
        began_at = time.monotonic()
        self.say(f"{what} ...", "dim")
        line = len(self._log) - 1
        yield
        self._log[line].append(f" {time.monotonic() - began_at:.1f} s")

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self.say(title, "bold underline")

    def decision(self, feature: str, entry: HistoryEntry, inside: int) -> None:
        """Tell one decision of the operator."""
        style = _ACTION_STYLES.get(entry.action, "")
        line = Text.assemble((f"{self.seconds:6.1f} s  ", "dim"), (f"{feature:<19}", "cyan"))
        line.append(f"{entry.action:<11}", style or "bold").append(f"{entry.admitted:<19} ")
        line.append(f"{f'{inside:,} have it':<14} ", "dim")
        self._log.append(line.append(entry.message, style or "dim"))

    def show(self, row: Row) -> None:
        """Show how a feature stands."""
        self._rows[row.feature] = row

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the table and the whole log on the terminal."""
        self._whole_log = True
        self._live.stop()
        super().__exit__(kind, error, trace)

    def _render(self) -> RenderableType:
        room = max(self._console.height - _TABLE_ROWS - 2 * len(self._rows), 5)
        log = self._log if self._whole_log else self._log[-room:]
        cut = not self._whole_log  # while it is live, a line must stay a line: the table's place hangs on it
        lines = [Text(line.plain, spans=line.spans, overflow="ellipsis", no_wrap=cut) for line in log]
        return Group(self._head(), *([self._table()] if self._rows else []), *lines)

    def _head(self) -> RenderableType:
        text = Text.assemble(
            ("Pilotage", "bold"),
            "  two features go out to the users of a shop",
            (f"   {self.seconds:.0f} s", "bold"),
            ("\ntime is compressed: 1 second here is 1 day of a real rollout", "dim"),
        )
        return Panel(text, border_style="dim", expand=False)

    def _table(self) -> Table:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), border_style="dim", header_style="bold")
        for title in ("feature", "phase", "step"):
            table.add_column(title, no_wrap=True, vertical="bottom")
        for title in ("users\nadmitted", "users who\nhave it", "errors\ncontrol", "errors\ntreatment"):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        table.add_column("next event", min_width=16)
        for row in self._rows.values():
            table.add_row(*_cells(row))
        return table


def _cells(row: Row) -> tuple[RenderableType, ...]:
    status = row.sight.rollout.status
    summary, phase = status.summary, status.phase or "Pending"
    verdict = summary.verdict if summary else ""
    return (
        Text(row.feature, "bold"),
        Text(phase, _PHASE_STYLES.get(phase, "")),
        summary.step if summary else "-",
        f"{int(summary.users):,}" if summary and summary.users.isdigit() else "-",
        Text(f"{row.sight.clients.inside:,}", "bold"),
        _ratio(row.errors.get("off")),
        _ratio(row.errors.get("on")),
        Text(verdict, _VERDICT_STYLES.get(verdict, "")),
        next_event(row.sight, datetime.now(UTC)),
    )


def _ratio(value: float | None) -> Text:
    if value is None:
        return Text("-", "dim")
    return Text(f"{value:.2%}", "bold red" if value > _ALARMING else "")


def next_event(sight: Sight, now: datetime) -> str:
    """What comes next, and in how many seconds where that is known."""
    status = sight.rollout.status
    waits_for = status.summary.waits_for if status.summary else ""
    if status.next_check_time is None:
        return waits_for
    left = (status.next_check_time - now).total_seconds()
    return f"{waits_for}: {max(left, 0):.0f} s left"


def make_screen() -> Screen:
    """The kind that fits standard output."""
    return LiveScreen() if sys.stdout.isatty() else Screen()
