"""People: their decisions on a rollout, as the state machine reads them."""

from dataclasses import dataclass
from datetime import datetime

from pilotage.resources.decision import PilotDecisionSpec


@dataclass(frozen=True, slots=True)
class HumanDecision:
    """One PilotDecision. The API server has proven who made it, and that they may.

    Attributes:
        uid: tells it from any other.
        name: of the PilotDecision.
        created_at: when the API server took it, to a second.
        spec: what was decided.
    """

    uid: str
    name: str
    created_at: datetime
    spec: PilotDecisionSpec
