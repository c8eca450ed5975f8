"""PilotDecision: what one person decided about one rollout, and why. It can't be changed, and acts once.

Who decided is proven by the API server: a ValidatingAdmissionPolicy compares `spec.by` with the requester, and asks
whether the requester holds the right to decide this.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, StringConstraints

from pilotage.resources.base import Model, Name, ObjectName, Resource, Window
from pilotage.resources.cel import Validation, validations

DecisionAction = Literal["proceed", "extend", "return", "pause", "resume", "skip", "rollback", "acknowledge"]

UserName = Annotated[str, StringConstraints(min_length=1, max_length=253)]
"""A user as the API server knows it, such as `alice@example.com` or `system:serviceaccount:shop:release`."""


class PilotDecisionSpec(Model):
    """Who decided what, and why."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Validation("self == oldSelf", "a decision can't be changed: make another PilotDecision"),
            Validation(
                "self.action != 'proceed' || has(self.gate)", "proceed needs the gate that is approved", field=".gate"
            ),
            Validation(
                "!has(self.gate) || self.action in ['proceed', 'extend', 'return']",
                "a gate goes with proceed, extend and return only: remove it",
                field=".gate",
            ),
            Validation("!has(self.role) || has(self.gate)", "a role needs the gate that it is for", field=".role"),
            Validation(
                "has(self.extendBy) == (self.action == 'extend')",
                "extendBy goes with extend, and with nothing else, such as 14d",
                field=".extendBy",
            ),
            Validation(
                "!has(self.toStep) || self.action in ['return', 'skip']",
                "toStep goes with return and skip only: remove it",
                field=".toStep",
            ),
        )
    )

    rollout: ObjectName
    """rollout that it is about, in the same namespace."""
    action: DecisionAction
    """action: `proceed` approves a gate; `extend` prolongs the step by extendBy; `return` takes users back to an
    earlier step, which begins anew; `pause` and `resume` growth; `skip` leaves the step before its time, whatever its
    go criteria say; `rollback` takes users back at once, as spec.onRollback says; `acknowledge` a rollback."""
    by: UserName
    """by is who decides: the name of the user who creates this, as `kubectl auth whoami` tells it."""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    """reason for it; it is kept in the rollout's history."""
    gate: Name | None = None
    """gate that is approved (proceed), or at which it is decided to extend or return."""
    role: Name | None = None
    """role in which it is decided, where the gate has a quorum."""
    extend_by: Window | None = None
    """extendBy is by how long the step is prolonged: from its end, or from now if that is over."""
    to_step: Name | None = None
    """toStep is the earlier step to return to (the one before if not given), or the later step to skip to, one after
    the other (the next one if not given)."""


class PilotDecision(Resource):
    """One person's decision about a rollout, such as to approve a gate. The API server proves who made it."""

    kind: ClassVar[str] = "PilotDecision"
    plural: ClassVar[str] = "pilotdecisions"
    short_names: ClassVar[tuple[str, ...]] = ("decision", "decisions")
    printer_columns: ClassVar[tuple[dict[str, Any], ...]] = (
        {"name": "Rollout", "type": "string", "jsonPath": ".spec.rollout"},
        {"name": "Action", "type": "string", "jsonPath": ".spec.action"},
        {"name": "Gate", "type": "string", "jsonPath": ".spec.gate"},
        {"name": "By", "type": "string", "jsonPath": ".spec.by"},
        {"name": "Reason", "type": "string", "jsonPath": ".spec.reason"},
        {"name": "Role", "type": "string", "jsonPath": ".spec.role", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    )

    spec: PilotDecisionSpec
    """spec is the decision."""
