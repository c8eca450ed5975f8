"""What the operator measures of itself. Labels are bounded: gauges of a rollout go when the rollout goes."""

from prometheus_client import Counter, Gauge, Histogram

from pilotage.controller.schedule import Key
from pilotage.resources.status import Finding, HistoryEntry, PilotRolloutStatus

RECONCILE_SECONDS = Histogram(
    "pilotage_reconcile_seconds",
    "How long one run for one rollout took, with all that it waited for.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
KILL_SECONDS = Histogram(
    "pilotage_kill_seconds",
    "From the decision to take users back until the flag service was seen to serve it.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60),
)
FAILURES = Counter("pilotage_reconcile_failures_total", "Runs that failed, by what failed.", ["kind"])
VERDICTS = Counter("pilotage_verdicts_total", "Verdicts of criteria.", ["verdict"])
HOLDS = Counter("pilotage_holds_total", "Rollouts that were stopped from going on, by reason.", ["reason"])
EVENTS = Counter("pilotage_events_total", "Kubernetes Events by what became of them.", ["result"])
RECORD_LINES = Counter("pilotage_record_decisions_total", "Decisions that were written to the record's file.")
RECORD_FAILURES = Counter("pilotage_record_failures_total", "Attempts to write the record's file that failed.")
RECORD_FAILING = Gauge("pilotage_record_failing", "1 while the record's file can't be written, else 0.")
RECORD_WAITING = Gauge("pilotage_record_waiting", "Decisions that wait to be written to the record's file.")
ROLLOUTS = Gauge("pilotage_rollouts", "Rollouts that are known.")

_ADMITTED = Gauge("pilotage_admitted_users", "Users who are admitted by the last decision.", ["namespace", "rollout"])
_STEP = Gauge("pilotage_step_index", "Step of the rollout, from 1; 0 before the first.", ["namespace", "rollout"])

for _kind in ("api", "delivery", "bug"):
    FAILURES.labels(_kind)
for _verdict in ("pass", "breach", "pending", "no-data", "unavailable"):
    VERDICTS.labels(_verdict)


def count_findings(findings: tuple[Finding, ...]) -> None:
    """One judgement."""
    for finding in findings:
        VERDICTS.labels(finding.verdict).inc()


def count_transition(entry: HistoryEntry) -> None:
    """One transition; reasons are words of ours, so they are few."""
    if entry.action in ("Hold", "Throttle", "Stall", "NotInForce"):
        HOLDS.labels(entry.reason).inc()


def show_rollout(key: Key, status: PilotRolloutStatus) -> None:
    """The gauges of one rollout. How many users `full` or a percentage means is not known without a population."""
    _STEP.labels(*key).set(status.step.index + 1 if status.step else 0)
    users = status.exposure.users if status.exposure and status.mode != "observe" else 0
    if users is None:
        _ADMITTED.remove(*key)
    else:
        _ADMITTED.labels(*key).set(users)


def forget_rollout(key: Key) -> None:
    """The rollout is gone."""
    _STEP.remove(*key)
    _ADMITTED.remove(*key)


def forget_all() -> None:
    """Another replica leads: it shows the rollouts now."""
    _STEP.clear()
    _ADMITTED.clear()
