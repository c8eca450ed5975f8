"""People's decisions: each is carried out once, or refused with the reason, and recorded with name and reason."""

from datetime import timedelta

import pytest

from pilotage.resources.status import PilotRolloutStatus
from tests.pilot import Pilot, guarded
from tests.unit.test_gates import SECURITY, gated


@pytest.fixture
def pilot() -> Pilot:
    """In the second step, its users verified."""
    return Pilot(guarded()).settle().settle(after=61).decide(after=5)


def last(pilot: Pilot) -> str:
    return pilot.rollout.status.history[-1].message


def test_a_rollback_takes_users_back_at_once_and_names_who_decided(pilot: Pilot) -> None:
    pilot.say("rollback", "sue", reason="customers complain").decide()
    assert (pilot.phase, pilot.admitted) == ("RollingBack", 0)
    assert last(pilot) == "sue rolled back: customers complain; users are taken back to nobody"
    pilot.decide(after=1)
    assert pilot.phase == "RolledBack"
    assert pilot.rollout.status.rollback
    assert pilot.rollout.status.rollback.reason == "Decided"


def test_a_rollback_comes_before_decisions_that_were_made_earlier(pilot: Pilot) -> None:
    pilot.say("pause").say("extend", extendBy="1d").say("rollback").decide()
    assert pilot.phase == "RollingBack"


def test_a_completed_rollout_can_still_be_rolled_back(pilot: Pilot) -> None:
    pilot.settle(after=61).settle(after=61)
    assert pilot.phase == "Completed"
    pilot.say("rollback").heed(after=60)
    assert (pilot.phase, pilot.admitted) == ("RolledBack", 0)


def test_an_extension_prolongs_the_step_from_its_end(pilot: Pilot) -> None:
    pilot.say("extend", "sue", extendBy="2h", reason="too few searches").heed(after=1)
    assert last(pilot) == "sue extended step some by 2h: too few searches"
    assert pilot.rollout.status.message == "step some is held for 2h1m"
    pilot.settle(after=7200)
    assert pilot.step == "some"
    pilot.settle(after=60)
    assert pilot.step == "all"


def test_an_extension_after_the_end_counts_from_now_and_asks_for_approval_anew() -> None:
    pilot = Pilot(gated({"name": "security", "approvers": 2})).settle().settle(after=3600)
    pilot.say("proceed", "tom", gate="security").say("extend", "sue", gate="security", extendBy="14d").heed(after=1)
    assert (pilot.phase, pilot.step) == ("Progressing", "few")
    assert pilot.rollout.status.next_check_time == pilot.now + timedelta(days=14)
    pilot.heed(after=14 * 86400 + 1)
    assert (pilot.phase, pilot.waits_for) == ("AwaitingApproval", "gate security: needs 2 approvals")


def test_extensions_add_up(pilot: Pilot) -> None:
    pilot.say("extend", extendBy="1h").say("extend", "sue", extendBy="1h").heed(after=1)
    assert pilot.rollout.status.message == "step some is held for 2h1m"


def test_a_return_takes_the_same_people_back_and_begins_that_step_anew(pilot: Pilot) -> None:
    pilot.say("return", "sue", reason="search is slow on phones").heed(after=1)
    assert (pilot.phase, pilot.step, pilot.admitted) == ("Progressing", "few", 10)
    assert last(pilot) == "sue decided to return: search is slow on phones; users are taken back to step few"
    pilot.decide(after=5).decide(after=54)
    assert pilot.step == "few"
    pilot.settle(after=2)
    assert pilot.step == "some"


def test_a_return_may_name_the_step(pilot: Pilot) -> None:
    pilot.settle(after=61)
    assert pilot.step == "all"
    pilot.say("return", toStep="few").heed(after=1)
    assert (pilot.step, len(pilot.rollout.status.trail)) == ("few", 1)


def test_a_pause_stops_growth_until_it_is_resumed(pilot: Pilot) -> None:
    pilot.say("pause", "sue", reason="the team is away").heed(after=1)
    assert (pilot.phase, pilot.rollout.status.message) == ("Paused", "paused by sue: the team is away")
    pilot.decide(after=86400).decide(after=5)
    assert (pilot.phase, pilot.step, pilot.actions[-1]) == ("Paused", "some", "Pause")
    pilot.say("resume", "tom").heed(after=1)
    assert pilot.step == "all"
    assert pilot.actions[-2:] == ["Resume", "Advance"]


def test_a_pause_keeps_no_rollback_from_happening(pilot: Pilot) -> None:
    pilot.say("pause").heed(after=1).decide(after=1, rollback="breach")
    assert pilot.phase == "RollingBack"


def test_a_skip_goes_on_before_its_time_and_whatever_go_says(pilot: Pilot) -> None:
    pilot.decide(after=1, go="breach").say("skip", "sue", reason="the release is due").heed(after=1)
    assert pilot.step == "all"
    assert last(pilot) == "sue skipped what was left of step some"


@pytest.mark.parametrize("role", ["objective", "warning", "noGo", "rollback", "throttle"])
@pytest.mark.parametrize("verdict", ["pending", "unavailable", "no-data"])
def test_a_skip_goes_past_nothing_that_protects_users(pilot: Pilot, role: str, verdict: str) -> None:
    pilot.say("skip").decide(after=1, **{role: verdict})  # type: ignore[arg-type]
    pilot.heed(after=1)
    assert pilot.step == "some"
    pilot.decide(after=1, **{role: "pass"})  # type: ignore[arg-type]
    assert pilot.step == "all", "it goes on when that is over"


def test_a_skip_does_not_pass_a_gate() -> None:
    pilot = Pilot(gated(SECURITY)).settle().decide(after=1).say("skip").heed(after=1)
    assert (pilot.phase, pilot.step) == ("AwaitingApproval", "few")


def test_a_skip_to_a_later_step_goes_through_those_between_one_after_the_other() -> None:
    pilot = Pilot(guarded()).settle().decide(after=1).say("skip", toStep="all").heed(after=1)
    assert pilot.step == "some", "its users must be seen to have the feature first"
    pilot.settle(after=1)
    assert [shown.step for shown in pilot.rollout.status.trail] == ["few", "some", "all"]
    assert pilot.rollout.status.step
    assert pilot.rollout.status.step.skip is None


def test_an_acknowledgement_is_kept_with_who_made_it(pilot: Pilot) -> None:
    pilot.settle(after=1, rollback="breach")
    assert pilot.condition("Healthy")[0] == "False"
    pilot.say("acknowledge", "sue", reason="index was corrupt").heed(after=1)
    assert pilot.condition("Acknowledged")[0] == "True"
    assert pilot.rollout.status.rollback
    assert pilot.rollout.status.rollback.acknowledged_by == "sue"
    assert last(pilot).endswith(": index was corrupt")
    assert pilot.phase == "RolledBack"


REFUSALS = {
    "another step's gate": ({"action": "proceed", "gate": "legal"}, "gate legal is not a gate of the next step, some"),
    "a role where there is none": ({"action": "proceed", "gate": "security", "role": "cto"}, "has no roles"),
    "a return from the first step": ({"action": "return"}, "there is no earlier step"),
    "a skip back": ({"action": "skip", "toStep": "few"}, "few is no later step"),
    "a skip to nowhere": ({"action": "skip", "toStep": "most"}, "most is no later step"),
    "a resume of what is not paused": ({"action": "resume"}, "it is not paused"),
    "an acknowledgement of nothing": ({"action": "acknowledge"}, "there is no rollback"),
    "an extension for ever": ({"action": "extend", "extendBy": "999999w"}, "by more than 366d"),
}


@pytest.mark.parametrize(("spec", "why"), REFUSALS.values(), ids=REFUSALS)
def test_what_can_not_be_followed_is_refused_once_with_the_reason(spec: dict[str, str], why: str) -> None:
    pilot = Pilot(gated(SECURITY)).settle().decide(after=1)
    before = pilot.rollout.status
    pilot.say(**spec).heed(after=1).heed(after=1)
    assert pilot.actions == ["Start", "Refuse"]
    assert why in last(pilot)
    assert (pilot.rollout.status.step, pilot.rollout.status.exposure) == (before.step, before.exposure)


def test_after_the_end_only_a_rollback_is_followed(pilot: Pilot) -> None:
    pilot.settle(after=61).settle(after=61)
    for action in ("pause", "skip", "return"):
        pilot.say(action).heed(after=1)
        assert "the rollout is completed" in last(pilot)


def test_a_second_approval_by_the_same_person_is_refused() -> None:
    pilot = Pilot(gated({"name": "security", "approvers": 2})).settle().settle(after=61)
    pilot.say("proceed", gate="security").say("proceed", gate="security").heed(after=1)
    assert "ann has approved it already" in last(pilot)
    assert pilot.step == "few"


def test_a_decision_that_is_older_than_the_rollout_was_about_another_one(pilot: Pilot) -> None:
    pilot.say("rollback")
    metadata = pilot.rollout.metadata.model_copy(update={"creation_timestamp": pilot.now + timedelta(seconds=1)})
    pilot.rollout = pilot.rollout.model_copy(update={"metadata": metadata})
    pilot.heed(after=5)
    assert pilot.phase == "Progressing"


def test_many_decisions_are_each_carried_out_once_although_few_are_remembered(pilot: Pilot) -> None:
    for number in range(50):
        pilot.say("extend", f"user-{number}", extendBy="1h").heed(after=1)
        restarted = PilotRolloutStatus.model_validate_json(pilot.rollout.status.model_dump_json(by_alias=True))
        pilot.rollout = pilot.rollout.model_copy(update={"status": restarted})
    pilot.heed(after=1)
    assert pilot.rollout.status.decisions
    assert len(pilot.rollout.status.decisions.done) == 32
    assert pilot.rollout.status.message == "step some is held for 2d2h1m"
