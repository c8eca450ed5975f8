"""What a scenario of the fault suite is: what breaks, when and for how long; what rollouts do meanwhile; the bound."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

from tests.faults.stage import Stage

Break = Callable[[Stage, str], AbstractContextManager[None]]
"""Breaks something for as long as its block lasts; is given the stage and the namespace of the rollouts."""

StageName = Literal["operator", "apiserver", "around", "outage"]
"""Scenarios of one stage are played one after the other, unless they keep to their namespace; stages run at once."""


@dataclass(frozen=True, slots=True)
class Course:
    """The rollouts of a scenario.

    `climb` goes from step to step to everybody. Those that `fall` stay at 50 % until their errors jump, and must be
    taken back. `leave` is at 50 % when somebody deletes it, while the fault is there.

    Attributes:
        hold: of the first step, in which the fault begins.
        falls: how many fall.
        grows: those that fall are at 20 % when the fault begins, and come to their 50 % in it.
        leaves: whether one is deleted.
        interval: between two judgements of each. Those that fall are judged by what the first of them shows.
    """

    interval: str = "1s"
    hold: str = "6s"
    falls: int = 1
    grows: bool = False
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault.

    Attributes:
        name: of the test and of the row in the page.
        fault: what breaks, for the page.
        breaks: does it.
        stage: where it is played.
        seconds: how long it lasts after the errors have jumped; None: until all have come to their end.
        bound_seconds: by when users must be seen to be back, counted from `counts_from`; the page states it.
        counts_from: the jump of the errors, or the end of the fault where nobody can know or write before.
        breach_after_seconds: from the start of the fault to the jump of the errors.
        course: the rollouts.
        alone: whether it breaks what other namespaces need.
        blind: no evidence is to be had: nobody may be let in from soon after its start to its end.
        clock_steps: the wall clock steps.
        forgets: the rollouts' status is wiped.
        goes: the namespace is deleted.
        lacks_events: no life of the operator is long enough to post all Events.
        note: what else the reader of the page should know.
    """

    name: str
    fault: str
    breaks: Break
    stage: StageName
    seconds: float | None = None
    bound_seconds: float = 60.0
    counts_from: Literal["breach", "end of the fault"] = "breach"
    breach_after_seconds: float = 1.0
    course: Course = field(default_factory=Course)
    alone: bool = True
    blind: bool = False
    clock_steps: bool = False
    forgets: bool = False
    goes: bool = False
    lacks_events: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a play of a scenario took, in seconds.

    Attributes:
        fault_seconds: how long the fault lasted.
        off_seconds: from the bound's beginning until the last one was verified off.
        converged_seconds: from the end of the fault until all had come to their end; 0 where that was before.
        counts: what was counted, such as kills.
    """

    fault_seconds: float
    off_seconds: float
    converged_seconds: float
    counts: str = ""
