"""Gates: where people decide before a step is entered, and who has to agree.

Who may approve a gate is no field here: it is a right in the cluster, `approve` on `pilotrollouts/gates`, given by RBAC
to the gate's name (`security`) or, where the gate has a quorum, to the gate and role (`expansion.security`).
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from pilotage.resources.base import SET, Model, Name, Window, keyed_by
from pilotage.resources.cel import Validation, validations

CHANGED_BY = "pilotage.dev/changed-by"
"""The annotation in which the API server records who changed a PilotRollout's spec last."""

Approvers = Annotated[int, Field(ge=1, le=20)]


class GateRole(Model):
    """A group of approvers whose agreement a gate asks for."""

    role: Name
    """role of the approvers, such as `security`; they need the right to approve `GATE.ROLE`."""
    approvers: Approvers = 1
    """approvers is how many of this role must agree; nobody counts for two roles."""


class Gate(Model):
    """What people must agree to before a step is entered."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Validation(
                "!has(self.approvers) || size(self.quorum) == 0", "give approvers or quorum, not both", field=".quorum"
            ),
            Validation(
                "self.onDeadline == 'hold' || has(self.deadline)",
                "onDeadline: return needs a deadline, such as 7d",
                field=".onDeadline",
            ),
        )
    )

    name: Name
    """name that steps use, and that the right to approve is given to."""
    approvers: Approvers | None = None
    """approvers is how many people must agree, whoever they are; one if there is no quorum either."""
    quorum: Annotated[tuple[GateRole, ...], Field(max_length=8, json_schema_extra=keyed_by("role"))] = ()
    """quorum says of which roles people must agree."""
    forbid_author: bool = False
    """forbidAuthor leaves out whoever changed spec last: nobody approves their own change."""
    deadline: Window | None = None
    """deadline for the approval, counted from when everything else holds; none if not given."""
    on_deadline: Literal["hold", "return"] = "hold"
    """onDeadline says what follows when it passes: hold goes on waiting, return takes users back to the step before the
    present one."""


Gates = Annotated[tuple[Gate, ...], Field(max_length=16, json_schema_extra=keyed_by("name"))]

GateNames = Annotated[tuple[Name, ...], Field(max_length=8, json_schema_extra=SET)]
