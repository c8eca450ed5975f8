"""Lives through simulated days by each rule and prints the table.

python -m bench.scaling [--days 30] [--seed N] [--write docs/]

`--write` puts the table into the page and draws the first day beside it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench.scaling.day import draw_day
from bench.scaling.plots import write_plot
from bench.scaling.rules import OURS, PLAIN, RULES
from bench.scaling.running import Score, live, measure

SEED = 1
PAGE, PLOT = "scaling.md", "scaling-day.svg"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
MOST_OVER_PERCENT = 0.2


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write what was asked for."""
    options = parser().parse_args(arguments)
    scores = measure(RULES, range(options.seed, options.seed + options.days))
    text = f"{table(scores)}\n\n{goals(scores)}"
    print(f"{options.days} days\n\n{text}")
    if options.write:
        write(options.write, text)
        day = draw_day(options.seed)
        write_plot(options.write / PLOT, day, {rule: live(make(), day) for rule, make in RULES.items()})


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    made.add_argument("--days", type=int, default=30, help="days that each rule lives through")
    made.add_argument("--seed", type=int, default=SEED, help="of the first day; the others follow")
    made.add_argument("--write", type=Path, help="folder of the page and its plot")
    return made


def table(scores: Sequence[Score]) -> str:
    """One row for each rule: means over the days."""
    rows = [
        "| rule | above 120 % of the value | worst day | replica-hours | changes | reversals | reversals in gaps |",
        "|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {score.rule} | {score.over_percent:.2f} % | {score.over_worst:.2f} % | {score.replica_hours:.0f}"
        f" | {score.changes:.0f} | {score.reversals:.1f} | {score.gap_reversals} |"
        for score in scores
    ]
    return "\n".join(rows)


def goals(scores: Sequence[Score]) -> str:
    """Whether the goals are met, by the means over the days; reversals by all days."""
    ours, plain = (next(score for score in scores if score.rule == rule) for rule in (OURS, PLAIN))
    told = [
        ("at most 0.2 % of the time above 120 %", ours.over_percent <= MOST_OVER_PERCENT, f"{ours.over_percent:.3f} %"),
        (
            "replica-hours at most the plain HPA's",
            ours.replica_hours <= plain.replica_hours,
            f"{ours.replica_hours:.1f} of {plain.replica_hours:.1f}",
        ),
        ("no reversal in a gap", ours.gap_reversals == 0, str(ours.gap_reversals)),
    ]
    return "\n".join(f"- {goal}: {'met' if met else 'missed'} ({figure})" for goal, met, figure in told)


def write(folder: Path, text: str) -> None:
    """Put the table between the page's marks."""
    page = folder / PAGE
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
