"""Gates: a step that people have to agree to is not entered before they have."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from pilotage.resources.gates import Gate
from pilotage.resources.status import Approval
from pilotage.rollout.gates import missing_in
from tests.builders import RolloutBuilder
from tests.pilot import NOW, Pilot, guarded, said


def gated(*gates: Mapping[str, object], step: int = 1) -> RolloutBuilder:
    """The three steps of `guarded`, with these gates on one of them."""
    steps = [
        {"name": "few", "users": 10, "hold": "1m"},
        {"name": "some", "users": 20, "hold": "1m"},
        {"name": "all", "percent": 100, "hold": "1m"},
    ]
    steps[step]["gates"] = [gate["name"] for gate in gates]
    return guarded().with_spec(steps=steps, gates=list(gates))


SECURITY: Mapping[str, object] = {"name": "security"}
EXPANSION: Mapping[str, object] = {
    "name": "expansion",
    "quorum": [{"role": "security", "approvers": 1}, {"role": "engineering", "approvers": 2}],
}


@pytest.fixture
def pilot() -> Pilot:
    """In its first step, whose time is over; the next one needs security."""
    return Pilot(gated(SECURITY)).settle().settle(after=61)


def test_a_gated_step_is_not_entered_without_approval(pilot: Pilot) -> None:
    assert (pilot.phase, pilot.step) == ("AwaitingApproval", "few")
    assert pilot.rollout.status.message == "step some waits for people: gate security: needs 1 approval"
    assert pilot.waits_for == "gate security: needs 1 approval"
    pilot.decide(after=3600).decide(after=864000)
    assert (pilot.phase, pilot.step, pilot.actions) == ("AwaitingApproval", "few", ["Start", "Await"])


def test_an_approval_opens_the_gate_and_is_recorded_with_name_and_reason(pilot: Pilot) -> None:
    pilot.say("proceed", "sue", gate="security", reason="pen test passed").heed(after=1)
    assert pilot.step == "some"
    assert pilot.actions == ["Start", "Await", "Approve", "Advance"]
    assert pilot.rollout.status.history[-2].message == "sue approved gate security; it is open: pen test passed"


def test_criteria_come_first_and_people_are_not_asked_before_they_hold(pilot: Pilot) -> None:
    pilot.decide(after=1, go="breach")
    assert pilot.phase == "Holding"
    pilot.say("proceed", gate="security").heed(after=1)
    assert (pilot.phase, pilot.step) == ("Holding", "few")
    pilot.heed(after=1).decide(after=1, go="pass")
    assert pilot.step == "some", "what was approved meanwhile counts"


def test_an_approval_may_come_while_the_step_before_still_runs() -> None:
    pilot = Pilot(gated(SECURITY)).settle().decide(after=10)
    pilot.say("proceed", gate="security").heed(after=1)
    assert (pilot.phase, pilot.step) == ("Progressing", "few")
    pilot.settle(after=61)
    assert pilot.step == "some"


def test_the_first_step_may_have_a_gate_too() -> None:
    pilot = Pilot(gated(SECURITY, step=0)).decide()
    assert (pilot.phase, pilot.step, pilot.admitted) == ("AwaitingApproval", "-", 0)
    pilot.decide(after=5).say("proceed", gate="security").heed(after=1)
    assert pilot.step == "few"


def test_an_old_approval_opens_no_later_attempt() -> None:
    pilot = Pilot(gated(SECURITY, step=2).with_spec(onRollback={"to": "previous"}))
    pilot.settle().settle(after=61).settle(after=61)
    assert (pilot.phase, pilot.step) == ("AwaitingApproval", "some")
    pilot.say("proceed", "sue", gate="security").heed(after=1).settle()
    assert pilot.step == "all"
    pilot.decide(after=5).say("return", "sue").heed(after=1).settle().settle(after=61)
    assert (pilot.phase, pilot.step) == ("AwaitingApproval", "some")
    pilot.say("proceed", "sue", gate="security").heed(after=1)
    assert pilot.step == "all"


def test_what_was_approved_before_the_present_attempt_began_is_refused() -> None:
    pilot = Pilot(gated(SECURITY, step=2)).settle().settle(after=61)
    late = pilot.say("proceed", gate="security").decisions.pop()
    pilot.decide(after=10).say("return").heed(after=1).settle(after=61).settle(after=61)
    assert (pilot.phase, pilot.step) == ("AwaitingApproval", "some")
    pilot.decisions.append(late)
    pilot.heed(after=1)
    assert (pilot.phase, pilot.step) == ("AwaitingApproval", "some")
    refused = next(entry for entry in pilot.rollout.status.history if entry.action == "Refuse")
    assert "it was made before 2026-03-02" in refused.message


def test_an_approval_of_another_spec_does_not_count(pilot: Pilot) -> None:
    pilot = Pilot(gated({"name": "security", "approvers": 2})).settle().settle(after=61)
    pilot.say("proceed", "sue", gate="security").heed(after=1)
    pilot.edit(interval="20s").say("proceed", "tom", gate="security").heed(after=1)
    assert (pilot.step, pilot.waits_for) == ("few", "gate security: needs 1 approval")
    pilot.say("proceed", "sue", gate="security").heed(after=1)
    assert pilot.step == "some"


def test_deleting_the_decision_does_not_withdraw_the_approval() -> None:
    pilot = Pilot(gated({"name": "security", "approvers": 2})).settle().settle(after=61)
    pilot.say("proceed", "sue", gate="security").heed(after=1)
    pilot.decisions.clear()
    pilot.heed(after=1).say("proceed", "tom", gate="security").heed(after=1)
    assert pilot.step == "some"


def test_a_rollback_waits_for_no_gate(pilot: Pilot) -> None:
    pilot.decide(after=1, **said("rollback", "breach"))
    assert (pilot.phase, pilot.admitted) == ("RollingBack", 0)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ([], "1 of security, 2 of engineering"),
        ([("sue", "security")], "2 of engineering"),
        ([("sue", "security"), ("eve", "engineering")], "1 of engineering"),
        ([("sue", "security"), ("eve", "engineering"), ("ed", "engineering")], ""),
        ([("eve", "engineering"), ("eve", "engineering")], "1 of security, 1 of engineering"),
        ([("sue", "security"), ("sue", "engineering"), ("eve", "engineering")], "1 of engineering"),
        ([("sue", "security"), ("sue", "engineering"), ("sam", "security"), ("eve", "engineering")], ""),
        ([("sue", "sales")], "1 of security, 2 of engineering"),
    ],
)
def test_a_quorum_asks_for_different_people_of_each_role(given: list[tuple[str, str]], missing: str) -> None:
    gate = Gate.model_validate(EXPANSION)
    approvals = [approval(by, role) for by, role in given]
    assert missing_in(gate, approvals, generation=1, author="") == missing


def approval(by: str, role: str = "") -> Approval:
    return Approval(gate="expansion", role=role, by=by, generation=1, time=NOW, decision=by)


def test_the_author_does_not_count_even_for_what_they_approved_before_they_were_it() -> None:
    gate = Gate(name="expansion", approvers=1, forbid_author=True)
    assert missing_in(gate, [approval("sue")], generation=1, author="dev") == ""
    assert missing_in(gate, [approval("sue")], generation=1, author="sue") == "1 approval"
    assert "not known" in missing_in(gate, [approval("sue")], generation=1, author="")


def test_nobody_approves_their_own_change() -> None:
    pilot = Pilot(gated({"name": "security", "forbidAuthor": True})).authored_by("dev").settle().settle(after=61)
    pilot.say("proceed", "dev", gate="security").heed(after=1)
    assert pilot.step == "few"
    assert "nobody approves their own change" in pilot.rollout.status.history[-1].message
    pilot.say("proceed", "sue", gate="security").heed(after=1)
    assert pilot.step == "some"


def test_where_the_author_is_not_known_such_a_gate_stays_closed() -> None:
    pilot = Pilot(gated({"name": "security", "forbidAuthor": True})).settle().settle(after=61)
    pilot.say("proceed", "sue", gate="security").heed(after=1)
    assert (pilot.phase, pilot.step) == ("AwaitingApproval", "few")
    assert "author of spec, who is not known" in pilot.rollout.status.message


def test_a_gate_that_is_not_defined_is_closed() -> None:
    pilot = Pilot(gated(SECURITY).with_spec(gates=[])).settle().settle(after=61)
    assert (pilot.step, pilot.waits_for) == ("few", "gate security: is not defined in spec.gates")


def test_all_gates_of_a_step_must_be_open() -> None:
    pilot = Pilot(gated(SECURITY, EXPANSION)).settle().settle(after=61)
    assert pilot.waits_for == ("gate security: needs 1 approval; gate expansion: needs 1 of security, 2 of engineering")
    for by, role in (("sue", "security"), ("eve", "engineering"), ("ed", "engineering")):
        pilot.say("proceed", by, gate="expansion", role=role).heed(after=1)
    assert (pilot.step, pilot.waits_for) == ("few", "gate security: needs 1 approval")
    pilot.say("proceed", "sue", gate="security").heed(after=1)
    assert pilot.step == "some"


def test_after_a_deadline_that_holds_it_waits_on_and_says_so_once() -> None:
    pilot = Pilot(gated({"name": "security", "deadline": "7d"})).settle().settle(after=61)
    awaiting = pilot.rollout.status.awaiting
    assert awaiting
    assert awaiting.deadline_time == awaiting.since + timedelta(days=7)
    assert pilot.rollout.status.next_check_time == awaiting.deadline_time
    pilot.decide(after=7 * 86400).decide(after=60)
    assert (pilot.phase, pilot.step) == ("AwaitingApproval", "few")
    assert pilot.rollout.status.message.endswith("; the deadline passed on 2026-03-09 09:01 UTC")
    assert pilot.actions == ["Start", "Await", "Await"]
    pilot.say("proceed", gate="security").heed(after=1)
    assert pilot.step == "some"


def test_after_a_deadline_that_returns_users_are_taken_back_a_step() -> None:
    gate = {"name": "security", "deadline": "7d", "onDeadline": "return"}
    pilot = Pilot(gated(gate, step=2)).settle().settle(after=61).settle(after=61)
    assert (pilot.step, pilot.admitted) == ("some", 20)
    pilot.settle(after=7 * 86400)
    assert (pilot.step, pilot.admitted, pilot.actions[-1]) == ("few", 10, "Return")
    assert pilot.rollout.status.delivery
    assert pilot.rollout.status.delivery.direction == "back"
    pilot.settle(after=61).settle(after=61)
    assert (pilot.phase, pilot.step) == ("AwaitingApproval", "some"), "the deadline begins anew"


def test_after_a_deadline_in_the_first_step_users_are_taken_back_to_nobody() -> None:
    gate = {"name": "security", "deadline": "7d", "onDeadline": "return"}
    pilot = Pilot(gated(gate)).settle().settle(after=61).settle(after=7 * 86400)
    assert (pilot.phase, pilot.admitted) == ("RolledBack", 0)
    assert pilot.rollout.status.rollback
    assert pilot.rollout.status.rollback.reason == "DeadlinePassed"


def test_a_wait_that_was_interrupted_begins_its_deadline_anew(pilot: Pilot) -> None:
    gate = {"name": "security", "deadline": "7d", "onDeadline": "return"}
    pilot = Pilot(gated(gate, step=2)).settle().settle(after=61).settle(after=61)
    pilot.decide(after=6 * 86400, go="no-data").decide(after=3 * 86400).decide(after=60, go="pass")
    assert (pilot.phase, pilot.step) == ("AwaitingApproval", "some")
    assert pilot.rollout.status.awaiting
    assert pilot.rollout.status.awaiting.since == pilot.now


def test_a_deadline_beyond_all_dates_is_no_crash() -> None:
    pilot = Pilot(gated({"name": "security", "deadline": "999999w999999w"})).settle().settle(after=61)
    assert pilot.phase == "AwaitingApproval"
