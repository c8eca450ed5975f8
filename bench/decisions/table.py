"""The tables in Markdown: false rollbacks by noise, delays by fault, and what holds healthy rollouts up."""

import math
from collections.abc import Callable, Iterable, Sequence

from bench.decisions.score import Score, StageEnds
from bench.decisions.worlds import World

Row = tuple[str, ...]


def tables(scores: Sequence[Score]) -> str:
    """All tables that the scores give."""
    held = [score for score in scores if score.ends.reached and not score.world.fault]
    waited = f"### Ends of stages that healthy rollouts had to wait at, %\n\n{waits(held)}" if held else ""
    return "\n\n".join(filter(None, (rollbacks(scores), waited)))


def rollbacks(scores: Sequence[Score]) -> str:
    """The tables of false rollbacks, one for each baseline, and of delays, one for each noise that has faults."""
    healthy, faulty = split(scores, lambda score: not score.world.fault)
    blocks = []
    for baseline in sorted({score.world.baseline for score in healthy}):
        title = f"### False rollbacks, % of healthy rollouts, baseline {percent(100 * baseline)} %"
        blocks.append(f"{title}\n\n{false_rollbacks([s for s in healthy if s.world.baseline == baseline])}")
    for noise, baseline in dict.fromkeys((s.world.noise, s.world.baseline) for s in faulty):
        title = f"### Faults: seconds to the rollback, noise {noise}, baseline {percent(100 * baseline)} %"
        chosen = [s for s in faulty if (s.world.noise, s.world.baseline) == (noise, baseline)]
        blocks.append(f"{title}\n\n{delays(chosen)}")
    return "\n\n".join(blocks)


def false_rollbacks(scores: Sequence[Score]) -> str:
    """A row for each noise or event, a column for each rule; the cell has the traffics from low to high."""
    rates = sorted({score.world.requests_per_second for score in scores})
    heading = f"noise ({' / '.join(f'{rate:g}' for rate in rates)} requests/s)"
    return grid(scores, heading, lambda world: world.event or world.noise, lambda s: percent(s.early_percent))


def delays(scores: Sequence[Score]) -> str:
    """A row for each traffic and fault, a column for each rule: median / p90, then what was missed or too early."""
    return grid(scores, "fault, requests/s", lambda w: f"{100 * w.fault:g} %, {w.requests_per_second:g}", delay_cell)


def delay_cell(score: Score) -> str:
    """Median / p90 in seconds, with what was missed and what was taken back before the fault."""
    cell = f"{seconds(score.delay(0.5))} / {seconds(score.delay(0.9))}"
    cell += f", {percent(score.missed_percent)} % missed" if score.missed_percent else ""
    return cell + (f", {percent(score.early_percent)} % early" if score.early else "")


def waits(scores: Sequence[Score]) -> str:
    """A row for each noise: stage ends that the evidence held, and those with too few requests, by traffic."""
    rates = " / ".join(f"{rate:g}" for rate in sorted({score.world.requests_per_second for score in scores}))
    found: dict[tuple[str, str], list[StageEnds]] = {}
    for score in scores:
        if score.ends.reached:
            name = f"{score.world.event or score.world.noise}, baseline {percent(100 * score.world.baseline)} %"
            found.setdefault((score.rule, name), []).append(score.ends)
    rows = [
        (
            *names,
            " / ".join(percent(100 * ends.held / ends.reached) for ends in each),
            " / ".join(percent(100 * ends.short / ends.reached) for ends in each),
        )
        for names, each in found.items()
    ]
    return markdown(("rule", f"noise ({rates} requests/s)", "held by evidence", "too few requests"), rows)


def grid(scores: Sequence[Score], heading: str, row: Callable[[World], str], cell: Callable[[Score], str]) -> str:
    """Scores as a table of rows by rules; several scores of a place are joined with slashes."""
    rules = list(dict.fromkeys(score.rule for score in scores))
    places: dict[str, dict[str, list[str]]] = {}
    for score in scores:
        places.setdefault(row(score.world), {}).setdefault(score.rule, []).append(cell(score))
    rows = [(name, *(" / ".join(found.get(rule, ["-"])) for rule in rules)) for name, found in places.items()]
    return markdown((heading, *rules), rows)


def markdown(heading: Row, rows: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = [heading, ("---",) * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(value: float) -> str:
    """A percentage with two significant digits; 0 stays 0."""
    return f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.2g}"


def seconds(value: float) -> str:
    """Whole seconds, or never."""
    return "never" if math.isinf(value) else f"{value:.0f}"


def split(scores: Iterable[Score], condition: Callable[[Score], bool]) -> tuple[list[Score], list[Score]]:
    """Scores that meet a condition, and the others."""
    yes: list[Score] = []
    no: list[Score] = []
    for score in scores:
        (yes if condition(score) else no).append(score)
    return yes, no
