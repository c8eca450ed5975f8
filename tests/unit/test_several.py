"""Several rollouts, as one of them decides: the flag's first claimant, those that come before, and turns."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.rollout.several import Line, Predecessor, Several, find_cycle
from tests.builders import make_rollout
from tests.pilot import Pilot, guarded


@pytest.fixture
def pilot() -> Pilot:
    return Pilot(guarded())


def closed(limit: int = 3, *, advancing: int = 3, ahead: int = 0) -> Several:
    return Several(cluster=Line(limit, advancing, ahead))


def test_the_second_that_claims_a_flag_holds_and_names_the_first(pilot: Pilot) -> None:
    pilot.several = Several(rival="first")
    pilot.decide().decide(after=3600)
    assert (pilot.phase, pilot.step, pilot.actions) == ("Pending", "-", ["Hold"])
    assert pilot.rollout.status.message == (
        "spec.feature.flag: rollout first has claimed search in pilot-flags before: delete that, or this one"
    )
    assert pilot.waits_for == "rollout first to be gone"
    pilot.several = Several()
    pilot.decide(after=1)
    assert pilot.step == "few"


def test_who_has_begun_is_not_held_by_another_claim(pilot: Pilot) -> None:
    pilot.settle()
    pilot.several = Several(rival="older")
    pilot.settle(after=60)
    assert pilot.step == "some"


def test_an_observer_claims_nothing() -> None:
    pilot = Pilot(guarded().with_spec(mode="observe"))
    pilot.several = Several(rival="first", cluster=Line(1, 1))
    pilot.decide()
    assert pilot.step == "few"
    assert pilot.rollout.status.turn is None


def after(*names: str) -> Pilot:
    return Pilot(guarded().with_spec(after=list(names)))


def test_it_begins_when_those_before_it_are_completed() -> None:
    pilot = after("base", "index")
    base = Predecessor("base", exists=True, phase="Completed")
    pilot.several = Several(predecessors=(base, Predecessor("index")))
    pilot.decide()
    assert pilot.rollout.status.message == "spec.after: there is no rollout index"
    assert pilot.waits_for == "after: base, index"
    for phase in (None, "Pending", "Progressing", "RolledBack"):
        pilot.several = Several(predecessors=(base, Predecessor("index", exists=True, phase=phase)))
        pilot.decide(after=60)
        assert pilot.rollout.status.message == "spec.after: rollout index is not completed"
    pilot.several = Several(predecessors=(base, Predecessor("index", exists=True, phase="Completed", observes=True)))
    pilot.decide(after=60)
    assert pilot.rollout.status.message == "spec.after: rollout index is completed, but only observes"
    assert (pilot.phase, pilot.actions) == ("Pending", ["Hold"])
    pilot.several = Several(predecessors=(base, Predecessor("index", exists=True, phase="Completed")))
    pilot.decide(after=1)
    assert pilot.step == "few"


def test_what_has_begun_does_not_wait_for_others_any_more() -> None:
    pilot = after("base")
    pilot.several = Several(predecessors=(Predecessor("base", exists=True, phase="Completed"),))
    pilot.settle()
    pilot.several = Several(predecessors=(Predecessor("base", exists=True, phase="RolledBack"),))
    pilot.settle(after=61)
    assert pilot.step == "some"


def test_a_cycle_is_shown_and_needs_a_person() -> None:
    pilot = after("base")
    pilot.several = Several(predecessors=(Predecessor("base", exists=True),), cycle=("search", "base", "search"))
    pilot.decide().decide(after=60)
    assert pilot.rollout.status.message == "spec.after: search waits for base waits for search: take one of them out"
    assert pilot.condition("Stalled")[:2] == ("True", "AfterCycle")
    assert pilot.actions == ["Stall"]


@pytest.mark.parametrize(
    ("edges", "cycle"),
    [
        ({"a": ["b"], "b": ["a"]}, ("a", "b", "a")),
        ({"a": ["b", "c"], "b": [], "c": ["d"], "d": ["a"]}, ("a", "c", "d", "a")),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, ()),
        ({"a": ["b"]}, ()),
        ({"a": ["a"]}, ("a", "a")),
        ({}, ()),
    ],
)
def test_a_cycle_is_found_from_this_rollout_to_this_rollout(
    edges: dict[str, list[str]], cycle: tuple[str, ...]
) -> None:
    assert find_cycle("a", edges) == cycle


def test_no_first_user_comes_in_before_its_turn(pilot: Pilot) -> None:
    pilot.several = closed()
    pilot.decide()
    began, turn = pilot.now, pilot.rollout.status.turn
    assert (pilot.phase, pilot.step, pilot.waits_for) == ("Pending", "-", "its turn in the cluster")
    assert (
        pilot.rollout.status.message == "no more than 3 rollouts advance at once in the cluster, and others come first"
    )
    assert turn
    assert (turn.state, turn.since, turn.limit) == ("Awaited", began, "cluster")
    pilot.decide(after=600)
    assert pilot.rollout.status.turn == turn, "who waits keeps its place in line"
    assert pilot.actions == ["Hold"]
    pilot.several = closed(advancing=2)
    pilot.decide(after=1)
    assert (pilot.step, pilot.rollout.status.turn.state) == ("few", "Taken")


def test_those_who_wait_longer_come_first(pilot: Pilot) -> None:
    pilot.several = closed(advancing=2, ahead=1)
    pilot.decide()
    assert pilot.step == "-"


def test_a_tenants_limit_is_its_own() -> None:
    pilot = Pilot(guarded())
    pilot.several = Several(tenant=Line(1, 1, where="tenant shop"), cluster=Line(3, 0))
    pilot.decide()
    assert (pilot.step, pilot.waits_for) == ("-", "its turn in tenant shop")


def test_a_turn_lasts_until_the_step_is_proven_and_the_next_step_needs_one(pilot: Pilot) -> None:
    pilot.settle()
    assert pilot.rollout.status.turn
    pilot.several = closed(advancing=3)
    pilot.decide(after=30, noGo="breach")
    assert pilot.rollout.status.turn.state == "Taken", "users are in a step that is not proven"
    pilot.edit(paused=True).decide(after=1)
    assert pilot.rollout.status.turn.state == "Taken"
    pilot.edit(paused=False).decide(after=60, noGo="pass")
    assert (pilot.phase, pilot.step, pilot.rollout.status.turn.state) == ("Holding", "few", "Awaited")
    pilot.decide(after=10, noGo="pending")
    assert pilot.rollout.status.turn is None, "it waits for something else, and for no turn"
    pilot.decide(after=10, noGo="pass")
    assert pilot.rollout.status.turn.since == pilot.now
    pilot.several = Several()
    pilot.settle(after=1)
    assert pilot.step == "some"


@pytest.mark.parametrize("role", ["rollback", "critical"])
def test_no_rollback_waits_for_a_turn_and_it_ends_one(pilot: Pilot, role: str) -> None:
    pilot.settle().settle(after=61)
    pilot.several = closed(advancing=9, ahead=9)
    pilot.in_force = False
    pilot.decide(after=1, **{role: "breach"})  # type: ignore[arg-type]
    assert (pilot.phase, pilot.admitted) == ("RollingBack", 0)
    assert pilot.rollout.status.turn, "until users are seen to be back"
    pilot.in_force = True
    pilot.decide(after=1)
    assert pilot.phase == "RolledBack"
    assert pilot.rollout.status.turn is None


def test_users_who_were_shed_come_back_without_a_turn(pilot: Pilot) -> None:
    pilot.settle().settle(after=61).settle(after=1, throttle="breach")
    pilot.several = closed(advancing=3)
    pilot.since = pilot.now
    pilot.decide(after=30, throttle="pass")
    assert (pilot.admitted, pilot.actions[-1]) == (20, "Restore")


def test_while_people_are_awaited_others_advance() -> None:
    builder = guarded().with_spec(gates=[{"name": "security", "approvers": 1}])
    few, some, everybody = ({"hold": "1m", **each} for each in (FEW, {**SOME, "gates": ["security"]}, ALL))
    pilot = Pilot(builder.with_spec(steps=[few, some, everybody])).settle().settle(after=61)
    assert (pilot.phase, pilot.rollout.status.turn) == ("AwaitingApproval", None)
    pilot.several = closed()
    pilot.say("proceed", gate="security").heed(after=1)
    assert pilot.waits_for == "its turn in the cluster"
    pilot.several = Several()
    pilot.decide(after=1)
    assert pilot.step == "some"


FEW, SOME, ALL = {"name": "few", "users": 10}, {"name": "some", "users": 20}, {"name": "all", "percent": 100}


def test_completed_rollouts_have_no_turn() -> None:
    pilot = Pilot(make_rollout().step("all", percent=100)).settle().decide(after=1)
    assert (pilot.phase, pilot.rollout.status.turn) == ("Completed", None)


@dataclass
class Crowd:
    """Many rollouts that decide one after the other, each by what the others have decided so far."""

    limit: int
    pilots: list[Pilot] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def add(self) -> None:
        name = f"rollout-{len(self.pilots)}"
        steps = make_rollout(name).step("few", percent=10, hold="1m").step("all", percent=100, hold="1m")
        self.pilots.append(Pilot(steps.with_spec(rollback=["errors > 3%"]).indicator("errors")))

    @property
    def advancing(self) -> int:
        return sum(self.turn(pilot) == "Taken" for pilot in self.pilots)

    @staticmethod
    def turn(pilot: Pilot) -> str:
        return pilot.rollout.status.turn.state if pilot.rollout.status.turn else ""

    def decide(self, index: int, *, after: float, breaks: bool = False) -> None:
        pilot = self.pilots[index]
        others = [(number, each) for number, each in enumerate(self.pilots) if number != index]
        mine = (pilot.rollout.status.turn.since, index) if self.turn(pilot) == "Awaited" else None  # type: ignore[union-attr]
        waiting = [(each.rollout.status.turn.since, n) for n, each in others if self.turn(each) == "Awaited"]  # type: ignore[union-attr]
        ahead = sum(mine is None or each < mine for each in waiting)
        pilot.several = Several(cluster=Line(self.limit, sum(self.turn(e) == "Taken" for _, e in others), ahead))
        for each in self.pilots:
            each.now += timedelta(seconds=after)
        step = pilot.step
        pilot.decide(rollback="breach" if breaks else "pass")
        if step == "-" and pilot.step != "-":
            self.starts.append(index)


@settings(max_examples=50)
@given(
    st.integers(1, 3),
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0, 1, 61]), st.sampled_from([False] * 9 + [True]))),
)
def test_never_more_than_the_limit_advance_at_once(limit: int, many: int, world: list[tuple[int, float, bool]]) -> None:
    crowd = Crowd(limit)
    for _ in range(many):
        crowd.add()
    for index, seconds, breaks in world:
        crowd.decide(index % many, after=seconds, breaks=breaks)
        assert crowd.advancing <= limit
        exposed = [p for p in crowd.pilots if (p.admitted or 0) > 0 and p.phase == "Progressing"]
        assert len(exposed) <= limit


@settings(max_examples=15)
@given(st.integers(1, 3), st.permutations(range(4)))
def test_in_the_end_all_have_had_their_turn_and_those_who_waited_longest_first(limit: int, order: list[int]) -> None:
    crowd = Crowd(limit)
    for _ in order:
        crowd.add()
    for index in order:
        crowd.decide(index, after=1)
    for _ in range(40):
        for index in range(len(order)):
            crowd.decide(index, after=5)
    assert [pilot.phase for pilot in crowd.pilots] == ["Completed"] * len(order)
    # Of those whose turn it is at the same time, the one that looks first begins first.
    assert all(abs(crowd.starts.index(each) - order.index(each)) < limit for each in order)
