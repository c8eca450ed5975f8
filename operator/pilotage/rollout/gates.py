"""Gates: a step that people have to agree to is not entered before they have.

An approval counts for one attempt and one spec: when a step is entered, left or taken back, or the spec is edited, it
is spent. Only a deadline takes users back here, where it says so; what takes users back never waits for a gate.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from pilotage.resources.durations import parse_duration
from pilotage.resources.gates import Gate
from pilotage.resources.rollout import Step
from pilotage.resources.status import Approval, AwaitedApproval
from pilotage.rollout.returning import return_to
from pilotage.rollout.rollback import go_back
from pilotage.rollout.situation import Move, Situation

_LONGEST = timedelta(days=3660)
"""No deadline is later: what is longer can't be added to a date."""


def next_step(at: Situation) -> Step | None:
    """The step that comes next; None after the last one."""
    index = at.status.step.index + 1 if at.status.step else 0
    return at.spec.steps[index] if index < len(at.spec.steps) else None


def missing_in(gate: Gate, approvals: Sequence[Approval], *, generation: int, author: str) -> str:
    """Who still has to agree, such as `1 of security`; empty if the gate is open.

    Args:
        gate: as the spec has it.
        approvals: of this attempt, of any gate and in any order.
        generation: of the spec; what was approved for another one does not count.
        author: who changed the spec last; empty if that is not known.
    """
    if gate.forbid_author and not author:
        return "an approval by another than the author of spec, who is not known"
    counted = [
        approval
        for approval in approvals
        if approval.gate == gate.name
        and approval.generation == generation
        and not (gate.forbid_author and approval.by == author)
    ]
    if not gate.quorum:
        count = (gate.approvers or 1) - len({approval.by for approval in counted})
        return f"{count} approval{'s' if count > 1 else ''}" if count > 0 else ""
    seated = _seated(gate, counted)
    missing = [(each.approvers - seated[each.role], each.role) for each in gate.quorum]
    return ", ".join(f"{count} of {role}" for count, role in missing if count > 0)


def _seated(gate: Gate, approvals: Iterable[Approval]) -> Counter[str]:
    """How many agree of each role, where each person counts once, in the role that helps most.

    A maximum matching of people and seats by augmenting paths (Kuhn), in an order that is not that of the approvals.
    """
    seats = [each.role for each in gate.quorum for _ in range(each.approvers)]
    roles: dict[str, set[str]] = {}
    for approval in approvals:
        roles.setdefault(approval.by, set()).add(approval.role)
    taken: dict[int, str] = {}

    def seat(person: str, tried: set[int]) -> bool:
        for number, role in enumerate(seats):
            if role in roles[person] and number not in tried:
                tried.add(number)
                if number not in taken or seat(taken[number], tried):
                    taken[number] = person
                    return True
        return False

    for person in sorted(roles):
        seat(person, set())
    return Counter(seats[number] for number in taken)


def await_approval(at: Situation) -> Move | None:
    """Everything else holds: the next step waits until all of its gates are open."""
    step = next_step(at)
    closed = _closed_gates(at, step) if step else []
    if step is None or not closed:
        return None
    before = at.status.awaiting
    known = before if before and before.step == step.name and at.status.phase == "AwaitingApproval" else None
    since = known.since if known else at.now
    deadlines = [(due, gate) for gate, _ in closed if gate and (due := _deadline(gate, since))]
    passed = [(due, gate) for due, gate in deadlines if at.now >= due]
    returning = [gate for _, gate in passed if gate.on_deadline == "return"]
    if returning and at.status.step is not None:
        return _return_from(at, returning[0], step)
    missing = tuple(text[:253] for _, text in closed)
    late = f"; the deadline passed on {min(due for due, _ in passed):%Y-%m-%d %H:%M} UTC" if passed else ""
    newly_late = bool(passed) and not (known and known.overdue)
    awaiting = AwaitedApproval(
        step=step.name,
        since=since,
        deadline_time=min((due for due, _ in deadlines), default=None),
        overdue=bool(passed),
        missing=missing,
    )
    return Move(
        phase="AwaitingApproval",
        reason="ApprovalOverdue" if passed else "AwaitingApproval",
        message=f"step {step.name} waits for people: {'; '.join(missing)}{late}"[:1024],
        action="Await" if known is None or newly_late else None,
        update={"awaiting": awaiting},
        waits_for="; ".join(missing),
        until=min((due for due, _ in deadlines if at.now < due), default=None),
    )


def _closed_gates(at: Situation, step: Step) -> list[tuple[Gate | None, str]]:
    """The gates of a step that are not open, each with who is missing. What is not defined is closed."""
    known = {gate.name: gate for gate in at.spec.gates}
    closed: list[tuple[Gate | None, str]] = []
    for name in step.gates:
        gate = known.get(name)
        if gate is None:
            closed.append((None, f"gate {name}: is not defined in spec.gates"))
        elif missing := missing_in(gate, at.status.approvals, generation=at.generation, author=at.author):
            closed.append((gate, f"gate {name}: needs {missing}"))
    return closed


def _deadline(gate: Gate, since: datetime) -> datetime | None:
    if gate.deadline is None:
        return None
    return since + min(timedelta(seconds=min(parse_duration(gate.deadline), _LONGEST.total_seconds())), _LONGEST)


def _return_from(at: Situation, gate: Gate, step: Step) -> Move:
    message = f"gate {gate.name} of step {step.name} was not approved within {gate.deadline}"
    here = at.status.step.index if at.status.step else 0
    if here == 0:
        return go_back(at, None, reason="DeadlinePassed", message=message, why=message)
    return return_to(at, here - 1, reason="DeadlinePassed", message=message)
