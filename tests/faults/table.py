"""Writes docs/reliability.md from the scenarios and from what the last plays of them measured.

python -m tests.faults.table
"""

import sys
from pathlib import Path
from typing import Any

from tests.faults import measurements
from tests.faults.scenario import Scenario
from tests.faults.scenarios import APISERVER, AROUND, OPERATOR, OUTAGE

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
NOT_MEASURED = "not measured"

_HEADER = """\
<!-- Made by `python -m tests.faults.table`: edit that, or tests/faults/scenarios.py. -->
# Reliability

What happens to users when something around a rollout fails. Each line of the tables is a test (`tests/faults`) that
breaks real processes: kube-apiserver and etcd, Prometheus with an exporter, two replicas of the flag service, the
operator. Meanwhile one rollout goes from step to step, one breaks and must be taken back, and in some one is
deleted.

## What holds whatever fails

An onlooker that sees every version of every object judges each of them by the same rules
(`tests/faults/witness.py`):

- **Users never exceed what was decided.** No version of a flag lets in more of 300 users, as flagd's own evaluator
  counts them, than the last decision that was written before it. A larger share never swaps users.
- **Nothing is skipped, repeated or added.** History has no gap and no entry that changes later; its moves are those
  of the plan; no step is left before its hold.
- **Each decision is told once**: one Event and one line of the record's file for each entry, and no other.
- **A rollback is verified off in time**, counted from the moment that the errors begin, or, where nobody can know
  or write before, from the end of the fault. Every replica of the flag service then serves "off" to all 300 users.
- **While there is no evidence, nobody is let in.**
- **It comes to its end by itself**, without an error that the operator would call a bug.

## Measured

"Bound" is what the tests assert for the rollback; it is generous, because tests run on loaded machines. What was
measured once stands beside it: seconds until verified off, and, after the end of the fault, until everything had
come to its end (0: before that). Of the time to verified off, about 4 s are the rule itself: `error_ratio > 10% for
2s` over a window of 5 s, scraped and judged each second.
"""

_FOOTER = """
## What is not real

- **The clock**: the operator's process has a wall clock with an offset that a test sets; everything else keeps the
  machine's. So Prometheus and the operator disagree by an hour, which is the worse case: no evidence is found.
- **The name of the flag service** has two addresses because the test's launcher says so; there is no DNS server.
- **The proxy** between operator and API server refuses, loses, delays and holds up requests, and spoils watches.
  What comes through it is the real server's answer.

## How long it takes

Scenarios mostly wait: for leases, outages, watches that are taken for dead. So those of one stage (a control plane
and all that runs with it) follow each other, three stages run at once, and what keeps to its namespace shares one.
The outage of ten minutes is ten real minutes: it begins with the test session, beside everything else, and its
outcome is asked for at the very end. So a whole session does not wait for it; `tests/faults` alone takes as long as
it.

## How to repeat

```console
make reliability     # plays all scenarios, then writes this page
.venv/bin/pytest tests/faults -k watches-silent
```
"""


def render(measured: dict[str, Any]) -> str:
    """The page."""
    parts = [_HEADER]
    if measured:
        parts.append(f"Measured on {measured['machine']}, {measured['date']}, beside other work.\n")
    groups = (("The operator", OPERATOR), ("The API server", APISERVER), ("What is around", (*AROUND, *OUTAGE)))
    for title, scenarios in groups:
        parts += [f"### {title}\n", *_table(scenarios, measured.get("scenarios", {}))]
    return "\n".join(parts) + _FOOTER


def row(scenario: Scenario) -> str:
    """The part of a scenario's row that does not depend on measurements; the page must have it."""
    note = f": {scenario.note}" if scenario.note else ""
    since = "" if scenario.counts_from == "breach" else " after its end"
    return f"| {scenario.fault}{note} | {scenario.bound_seconds:.0f} s{since} |"


def _table(scenarios: tuple[Scenario, ...], measured: dict[str, Any]) -> list[str]:
    lines = ["| fault | bound | verified off | all at its end |", "|---|---|---|---|"]
    for scenario in scenarios:
        found = measured.get(scenario.name)
        if found is None:
            lines.append(f"{row(scenario)} {NOT_MEASURED} | |")
            continue
        counts = f" ({found['counts']})" if found["counts"] else ""
        lines.append(f"{row(scenario)} {found['off_seconds']:.1f} s | {found['converged_seconds']:.1f} s{counts} |")
    return [*lines, ""]


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(measurements.read()))
    print(f"wrote {PAGE}", file=sys.stderr)


if __name__ == "__main__":
    main()
