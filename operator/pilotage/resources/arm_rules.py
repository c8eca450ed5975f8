"""What a PilotRollout must not say about its arms: CEL for the API server.

Who is treatment and who is control stays: transition rules of the whole object see what was decided beside what is
wanted.
"""

from pilotage.resources.cel import Validation

_STARTED = "has(oldSelf.status) && has(oldSelf.status.cohort)"
_HELD = "double({}.spec.audience.holdback.replace('%', ''))"

KEEPS_ARMS = (
    Validation(
        f"!({_STARTED}) || self.spec.audience.control == oldSelf.spec.audience.control",
        "control can't change once users may be in: it would exchange who is compared; make another PilotRollout",
        field=".spec.audience.control",
    ),
    Validation(
        f"!({_STARTED}) || !has(self.spec.audience.holdback) || (has(oldSelf.spec.audience.holdback)"
        f" && {_HELD.format('self')} <= {_HELD.format('oldSelf')})",
        "holdback can only be lowered once users may be in: more would take the feature from users who have it",
        field=".spec.audience.holdback",
    ),
)
"""Rules of the whole object: who is in which arm stays."""

THREE_VARIANTS = Validation(
    "self.audience.control != 'equal' || !(self.feature.rest in [self.feature.treatment, self.feature.control])",
    "rest must differ from treatment and control where audience.control is equal",
    field=".feature.rest",
)
"""Rule of the spec: those who are in no arm can be told from those who are."""
