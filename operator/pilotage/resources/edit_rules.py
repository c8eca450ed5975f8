"""How a PilotRollout that is underway must not be edited: CEL for the API server.

Transition rules of the whole object see what was decided (`oldSelf.status`) beside what is wanted. They look only at
what has changed, so that status can be written whatever stands in the spec already. What they can't see is found by
`pilotage.rollout.editing`, and holds the rollout.
"""

from pilotage.resources.cel import Validation, formatted
from pilotage.resources.rollout_rules import BACK, percent_of

_UNDERWAY = (
    "self.spec.steps != oldSelf.spec.steps && self.spec.feature.revision == oldSelf.spec.feature.revision"
    " && has(oldSelf.status) && has(oldSelf.status.step) && has(oldSelf.status.trail)"
    " && !(has(oldSelf.status.phase) && oldSelf.status.phase == 'Completed')"
    " && !(has(oldSelf.status.mode) && oldSelf.status.mode == 'observe')"
)
_START_OVER = "undo the change, or raise feature.revision to start over"


def _entered(bad: str, says: str, *values: str, message: str) -> Validation:
    """A rule about the steps of a rollout that is underway, as far as they were entered.

    Args:
        bad: CEL over `i` and `s` (index and exposure of a step that was entered) that is true for what is refused.
        says: the message, a format of `values`.
        values: CEL over `i` and `s`.
        message: the message where CEL can't build one.
    """
    refused = f"i <= oldSelf.status.step.index && {bad}"
    return Validation(
        f"!({_UNDERWAY}) || oldSelf.status.trail.all(i, s, !({refused}))",
        message,
        field=".spec.steps",
        says=f"oldSelf.status.trail.transformList(i, s, {refused}, {formatted(says, *values)})[0]",
    )


def _wants(bad: str) -> str:
    """CEL that is true where the same step as wanted, `w`, is bad; an index by a variable has no bounded cost."""
    return f"self.spec.steps.exists(j, w, j == i && {bad})"


KEEPS_STEPS = (
    Validation(
        "!self.spec.after.exists(a, a == self.metadata.name)",
        "after names this rollout itself: take it out",
        field=".spec.after",
    ),
    _entered(
        "(i >= size(self.spec.steps) || self.spec.steps[i].name != s.step)",
        f"steps[%d] must stay %s, which has begun: {_START_OVER}",
        *("i", "s.step"),
        message=f"steps that have begun keep their names and places: {_START_OVER}",
    ),
    _entered(
        _wants("has(w.users) && has(s.asked) && has(s.asked.users) && w.users < s.asked.users"),
        f"steps[%d] %s: users %d is less than the %d who were let in; {BACK}",
        *("i", "s.step", "self.spec.steps[i].users", "s.asked.users"),
        message=f"users of a step that has begun must not shrink: {BACK}",
    ),
    _entered(
        "has(s.asked) && has(s.asked.percent)"
        " && " + _wants(f"!has(w.users) && double(s.asked.percent) > {percent_of('w', 100.0)}"),
        f"steps[%d] %s: percent is less than the %s that was let in; {BACK}",
        *("i", "s.step", "s.asked.percent"),
        message=f"percent of a step that has begun must not shrink: {BACK}",
    ),
    _entered(
        _wants("size(w.cohorts) > 0 && (!has(s.cohorts) || size(s.cohorts) == 0 || !s.cohorts.all(c, c in w.cohorts))"),
        f"steps[%d] %s: cohorts leave out users who were let in; {BACK}",
        *("i", "s.step"),
        message=f"cohorts of a step that has begun must not leave out users: {BACK}",
    ),
)
"""Rules of the whole object: what was done stays done, nobody is taken back by an edit, none waits for itself."""
