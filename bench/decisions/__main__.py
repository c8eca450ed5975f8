"""Measures decision quality and prints the tables.

python -m bench.decisions [--runs 500] [--seed N | --fresh] [--only noise=slow5,rule=Pilotage] [--jobs 2]
                          [--variants] [--record FILE] [--write docs/]

`--only` keeps the worlds (and rules) that match; keys are noise, event, rate, baseline, fault and rule, a repeated key
gives alternatives, and `event=` or `fault=0` means none. `--record` adds what was measured to a JSON file, in place of
what the file has of the same cells, and shows all of the file; with `--runs 0` it only shows it.
"""

import argparse
import json
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.decisions.cells import all_worlds, asked
from bench.decisions.goals import goals_table
from bench.decisions.running import OURS, RULES, VARIANTS, measure
from bench.decisions.score import Score
from bench.decisions.table import rollbacks, tables

SEED = 20_260_302
PAGE = "decision-quality.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write what was asked for."""
    options = parser().parse_args(arguments)
    only = parse_only(options.only)
    seed = secrets.randbits(32) if options.fresh else options.seed
    rules = [*RULES, *(VARIANTS if options.variants else ())]
    rules = [rule for rule in rules if matches_rule(rule, only.get("rule", []))]
    worlds = asked(all_worlds(), only) if options.runs else []
    print(f"{len(worlds)} worlds x {options.runs} runs x {len(rules)} rules, seed {seed}", file=sys.stderr)
    scores = measure(worlds, rules, runs=options.runs, seed=seed, jobs=options.jobs)
    if options.record:
        scores = record(options.record, scores)
    text = told(scores)
    print(text)
    if options.write:
        write(options.write, scores, text)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    made.add_argument("--runs", type=int, default=500, help="rollouts in each cell")
    made.add_argument("--seed", type=int, default=SEED, help="what everything is drawn from")
    made.add_argument("--fresh", action="store_true", help="draw a seed, and say which")
    made.add_argument("--only", default="", help="key=value,... of worlds and rules to keep")
    made.add_argument("--jobs", type=int, default=2, help="processes")
    made.add_argument("--variants", action="store_true", help="measure other ways to run our judge too")
    made.add_argument("--record", type=Path, help="JSON file to add the scores to")
    made.add_argument("--write", type=Path, help="folder of the page and its plots")
    return made


def parse_only(text: str) -> dict[str, list[str]]:
    """Read `key=value,key=value`; a key that comes again gives an alternative.

    Raises:
        ValueError: A part without an equals sign.
    """
    only: dict[str, list[str]] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"--only: {part!r} isn't key=value")
        only.setdefault(key, []).append(value)
    return only


def matches_rule(rule: str, wanted: Sequence[str]) -> bool:
    """Whether a rule's name contains one of the words, in any case."""
    return not wanted or any(word.lower() in rule.lower() for word in wanted)


def told(scores: Sequence[Score]) -> str:
    """Goals of our rule where it was measured, the tables of all rules, and those of the variants beside ours."""
    goals = goals_table(scores, OURS) if any(score.rule == OURS for score in scores) else ""
    varied = {score.world for score in scores if score.rule in VARIANTS}
    beside = [score for score in scores if score.world in varied and score.rule in {OURS, *VARIANTS}]
    variants = f"## Other ways to run our judge\n\n{rollbacks(beside)}" if varied else ""
    return "\n\n".join(filter(None, (goals, tables([s for s in scores if s.rule in RULES]), variants)))


def record(path: Path, scores: Sequence[Score]) -> list[Score]:
    """Add scores to a file; what is there of the same world and rule gives way."""
    kept = [Score.from_json(document) for document in json.loads(path.read_text())] if path.exists() else []
    merged = {(score.world, score.rule): score for score in (*kept, *scores)}
    path.write_text(json.dumps([score.to_json() for score in merged.values()]))
    ranks = {world: rank for rank, world in enumerate(all_worlds())}
    return sorted(merged.values(), key=lambda score: (ranks[score.world], [*RULES, *VARIANTS].index(score.rule)))


def write(folder: Path, scores: Sequence[Score], text: str) -> None:
    """Draw the plots and put the tables into the page, between its marks."""
    from bench.decisions.plots import write_plots  # noqa: PLC0415 - slow to import, and most runs do not draw

    write_plots(scores, folder, RULES)
    page = folder / PAGE
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    main()
