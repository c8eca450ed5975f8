"""Rollbacks in the spec: where users are taken back to, how, and whether the rollout tries again by itself."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from pilotage.resources.base import Duration, Model, Name, Window
from pilotage.resources.cel import Validation, formatted, validations

TARGETS = ("zero", "previous")
"""Words of `to`; all else is the name of a step."""

_WORDS = ", ".join(f"'{word}'" for word in TARGETS)


class Retry(Model):
    """When a rollout that was taken back tries again by itself: the same people in the same order."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Validation(
                "has(self.after) || self.acknowledgement == 'required'",
                "say when to try again: after (a time), acknowledgement: required, or both",
            ),
        )
    )

    after: Duration | None = None
    """after so long, counted from when users were seen to be back."""
    acknowledgement: Literal["required", "none"] = "none"
    """acknowledgement is required where a person has to acknowledge the rollback first (spec.acknowledgedRollback)."""
    limit: Annotated[int, Field(ge=1, le=100)] = 1
    """limit of tries for a revision of the feature."""


class OnRollback(Model):
    """What a rollback does. It waits for nothing: no calendar, no pause, no person."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Validation(
                "self.mode == 'stepwise' || !has(self.pace)",
                "pace is for mode stepwise: add it, or remove pace",
                field=".pace",
            ),
            Validation(
                "self.mode == 'atOnce' || self.to != 'previous'",
                "stepwise goes back one step at a time by itself: set to to zero, or to the step that it ends at",
                field=".to",
            ),
        )
    )

    to: Name = "zero"
    """to is where users go: `previous` for the step before the one that broke, `zero` for nobody, or a step by its
    name. From that step itself, or one before it, they go to nobody. If it stays broken there, they go further back."""
    mode: Literal["atOnce", "stepwise"] = "atOnce"
    """mode is how: atOnce, or stepwise: back by one step, and by one more as long as it stays broken."""
    pace: Window | None = None
    """pace of stepwise: so long after users were seen to be back, a breach takes them back by one more step; if not
    given, when all of its evidence is younger than that."""
    included: Literal["off", "keep"] = "off"
    """included says what becomes of the users of audience.include where all others lose the feature: `off` takes it
    from everybody; `keep` leaves it to them, so that the fault can be looked into, until it breaks for them alone."""
    retry: Retry | None = None
    """retry says when the rollout goes on by itself, once every rule that takes users back is quiet for as long as it
    takes: from the step that users were taken back to, whose time begins anew, or from the first. Never if not
    given."""


NAMED_STEP = Validation(
    f"self.onRollback.to in [{_WORDS}] || self.steps.exists(s, s.name == self.onRollback.to)",
    "onRollback.to must be zero, previous or the name of a step",
    field=".onRollback.to",
    says=formatted(
        "onRollback.to: there is no step %s: write zero, previous or the name of a step", "self.onRollback.to"
    ),
)
"""Rule of the spec: the step that users go back to is there."""

NO_TARGET = Validation(
    f"!(self in [{_WORDS}])", "zero and previous are words of onRollback.to: give the step another name"
)
"""Rule of a step's name."""
