"""What the operator was measured to cost, and how quick it is: rows of a page, and its plot.

Figures are collected in a JSON file, one measurement after the other, so that a long one can be repeated alone.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.decisions.plots import COLOURS, STYLE
from bench.world import Spent

BEGIN, END = "<!-- figures: written by bench.operator -->", "<!-- end of figures -->"


@dataclass(frozen=True, slots=True)
class Cost:
    """What some rollouts cost while nothing happens to them.

    Attributes:
        what: what they do, such as `at rest`.
        rollouts: how many.
        cores: CPU of the operator.
        megabytes: memory of the operator.
        writes: to the API server a minute, but for the renewals of the Lease.
        queries: to Prometheus a minute.
        ready_seconds: from the start of the process until everything was listed; None where that was not measured.
        others: CPU of whatever else ran on the machine, in cores.
    """

    what: str
    rollouts: int
    cores: float
    megabytes: float
    writes: float
    queries: float
    ready_seconds: float | None
    others: float

    @classmethod
    def of(cls, what: str, rollouts: int, spent: Spent, ready_seconds: float | None = None) -> "Cost":
        """From what was spent; PUT renews the Lease, and nothing else."""
        writes = sum(count for method, count in spent.requests.items() if method not in ("PUT", "GET"))
        minutes = spent.seconds / 60
        return cls(
            what,
            rollouts,
            round(spent.cores, 4),
            round(spent.rss_bytes / 1e6),
            round(writes / minutes, 1),
            round(spent.queries / minutes),
            ready_seconds and round(ready_seconds, 1),
            round(spent.others, 2),
        )


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds (or milliseconds) of something that was measured often.

    Attributes:
        what: from when to when, with the unit.
        values: all of them, in order of size.
        note: under which circumstances.
    """

    what: str
    values: tuple[float, ...]
    note: str = ""

    def quantile(self, share: float) -> float:
        """The value that this share does not exceed."""
        return self.values[min(len(self.values) - 1, int(share * len(self.values)))]

    def row(self) -> str:
        """A row of the page."""
        cells = (self.values[0], statistics.median(self.values), self.quantile(0.95), self.values[-1])
        said = " | ".join(f"{cell:.1f}" for cell in cells)
        return f"| {self.what} | {len(self.values)} | {said} | {self.note} |"


def remember(file: Path, found: Sequence[Cost | Times]) -> None:
    """Put measurements into the file, in the place of older ones of the same thing."""
    known = _read(file)
    for each in found:
        kind = "costs" if isinstance(each, Cost) else "times"
        key = f"{each.what}, {each.rollouts}" if isinstance(each, Cost) else each.what
        known[kind][key] = asdict(each)
    file.write_text(json.dumps(known, indent=1) + "\n")


def write_page(file: Path, page: Path) -> None:
    """Write tables and plot from all that was measured into the page, between its marks."""
    known = _read(file)
    costs = sorted((Cost(**each) for each in known["costs"].values()), key=lambda cost: (cost.what, cost.rollouts))
    times = [Times(**each) for each in known["times"].values()]
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n{_tables(costs, times)}\n{END}{after}")
    with mpl.rc_context(STYLE):
        figure = _plot(costs)
        figure.savefig(page.with_suffix(".svg"), metadata={"Date": None, "Creator": None})


def _tables(costs: Sequence[Cost], times: Sequence[Times]) -> str:
    lines = ["| | measured | min | median | p95 | max | |", "|---|---|---|---|---|---|---|"]
    lines += [each.row() for each in times]
    lines += [
        "",
        "![CPU and memory by number of rollouts](performance.svg)",
        "",
        "| | rollouts | CPU | memory | writes/min | queries/min | ready after | other work |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cost in costs:
        ready = "" if cost.ready_seconds is None else f"{cost.ready_seconds} s"
        spent = f"{cost.cores:.2%} of a core | {cost.megabytes:.0f} MB | {cost.writes:g} | {cost.queries:,}"
        lines.append(f"| {cost.what} | {cost.rollouts:,} | {spent} | {ready} | {cost.others:z.2f} cores |")
    return "\n".join(lines)


def _plot(costs: Sequence[Cost]) -> Figure:
    """Cost against the number of rollouts, a line for what they do."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    cpu, memory = figure.subplots(1, 2)
    for what, colour in zip(dict.fromkeys(cost.what for cost in costs), COLOURS, strict=False):
        found = [cost for cost in costs if cost.what == what]
        counts = [cost.rollouts for cost in found]
        cpu.plot(counts, [100 * cost.cores for cost in found], "o-", color=colour, label=what, markersize=4)
        memory.plot(counts, [cost.megabytes for cost in found], "o-", color=colour, label=what, markersize=4)
    cpu.set(title="CPU, % of a core", xlabel="rollouts", xscale="log", yscale="log")
    memory.set(title="memory, MB", xlabel="rollouts", xscale="log", ylim=(0, None))
    cpu.legend(frameon=False, fontsize=8)
    return figure


def _read(file: Path) -> dict[str, dict[str, Any]]:
    if not file.exists():
        return {"costs": {}, "times": {}}
    known: dict[str, dict[str, Any]] = json.loads(file.read_text())
    return known
