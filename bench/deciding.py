"""What a decision costs: reading the spec, judging its rules on recorded series, deciding, and writing it as JSON.

python -m bench.deciding [--rounds 300]
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from pilotage.judging.evidence import Answered, Evidence, Question, Series
from pilotage.judging.rules import Rule
from pilotage.judging.threshold import ThresholdRule
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout
from pilotage.rollout.decide import decide
from pilotage.rollout.plan import read_plan
from pilotage.rollout.situation import Delivered, Seen

EXAMPLES = Path(__file__).parents[1] / "examples"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def main() -> None:
    """Print a table of medians."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=300, help="repetitions of each measurement")
    rounds = arguments.parse_args().rounds
    rollout, templates = read_example()
    plan = read_plan(rollout, templates)
    evidence = Evidence({question: recorded(rule, question) for rule in plan.rules for question in rule.questions})
    findings = tuple(rule.judge(evidence, NOW) for rule in plan.rules)
    decided = decide(plan, rollout, Seen(findings, delivered=Delivered("ConfigMap/x", 1)), NOW)
    running = rollout.model_copy(update={"status": decided.status})
    seen = Seen(findings, delivered=Delivered("ConfigMap/x", 1))
    measured = {
        "read the spec": lambda: read_plan(rollout, templates),
        f"judge {len(plan.rules)} rules": lambda: [rule.judge(evidence, NOW) for rule in plan.rules],
        "decide": lambda: decide(plan, running, seen, NOW + timedelta(seconds=30)),
        "write status as JSON": lambda: decided.status.model_dump_json(by_alias=True, exclude_none=True),
        "read it back": lambda: PilotRollout.model_validate(running.to_wire()),
    }
    print(f"{platform.machine()}, Python {platform.python_version()}; medians of {rounds} rounds\n")
    total = 0.0
    for name, work in measured.items():
        seconds = median_seconds(work, rounds)
        total += seconds
        print(f"{name:<24}{seconds * 1e6:>10.0f} us")
    print(f"\n1,000 rollouts judged every 30 s: {total * 1000 / 30:.1%} of a core (without I/O)")


def read_example() -> tuple[PilotRollout, dict[str, IndicatorTemplateSpec]]:
    """The semantic search of `examples/`, and the platform's templates."""
    document = yaml.safe_load((EXAMPLES / "semantic-search/rollout.yaml").read_text())
    document["metadata"] |= {"namespace": "shop", "uid": "bench", "generation": 1}
    documents = yaml.safe_load_all((EXAMPLES / "roadmap/templates.yaml").read_text())
    templates = {d["metadata"]["name"]: IndicatorTemplateSpec.model_validate(d["spec"]) for d in documents}
    return PilotRollout.model_validate(document), templates


def recorded(rule: Rule, question: Question) -> Answered:
    """A full series of good values for a rule's question; counts by variant where two are compared."""
    count = question.steps + 1
    end = question.end_at(NOW.timestamp())
    times = tuple(end - (count - 1 - i) * question.step_seconds for i in range(count))
    if not isinstance(rule, ThresholdRule):
        series = Series(times, (0.001,) * count, (1000.0,) * count)
        return Answered((("off", series), ("on", series)))
    good = rule.threshold * (0.5 if rule.bad_op in (">", ">=") else 1.0) if rule.threshold else 0.0
    return Answered((("", Series(times, (good,) * count)),))


def median_seconds(work: Callable[[], object], rounds: int) -> float:
    """The median of single calls, after a warm-up."""
    work()
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
