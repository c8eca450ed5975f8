"""What must hold of gates and decisions whatever people say, in whatever order, and whenever the operator restarts."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.resources.gates import Gate
from pilotage.resources.status import Approval, PilotRolloutStatus, Verdict
from pilotage.rollout.gates import missing_in
from tests.pilot import NOW, Pilot
from tests.unit.test_gates import EXPANSION, gated

PEOPLE = ("ann", "bob", "cyd", "dan")
ROLES = ("security", "engineering", "sales")
ACTIONS = ("proceed", "proceed", "proceed", "extend", "return", "pause", "resume", "skip", "rollback", "acknowledge")


@dataclass(frozen=True)
class Moment:
    """One moment: time passes, criteria say something, somebody may decide something."""

    after: int
    go: Verdict
    rollback: Verdict
    said: tuple[str, str, str] | None
    revision: bool


saying = st.tuples(st.sampled_from(ACTIONS), st.sampled_from(PEOPLE), st.sampled_from(ROLES))
moments = st.builds(
    Moment,
    after=st.sampled_from([1, 5, 61, 3600]),
    go=st.sampled_from(["pass", "pass", "pass", "pass", "breach", "no-data"]),
    rollback=st.sampled_from(["pass"] * 20 + ["breach"]),
    said=st.one_of(saying, saying, saying, st.none()),
    revision=st.sampled_from([False] * 9 + [True]),
)
worlds = st.lists(moments, min_size=1, max_size=30)


CALM = Moment(after=61, go="pass", rollback="pass", said=None, revision=False)


def pilot_with_gates() -> Pilot:
    return Pilot(gated(EXPANSION)).settle()


def play(pilot: Pilot, moment: Moment) -> None:
    if moment.revision:
        revision = pilot.rollout.spec.feature.revision + 1
        pilot.edit(feature={"flag": "search", "revision": revision})
    if moment.said:
        action, by, role = moment.said
        extra = {"extendBy": "10m"} if action == "extend" else {}
        if action == "proceed":
            extra = {"gate": "expansion", "role": role}
        pilot.say(action, by, **extra)
    pilot.verdicts.update({"go": moment.go, "rollback": moment.rollback})
    pilot.heed(after=moment.after).decide(after=1)


def restart(pilot: Pilot) -> None:
    written = pilot.rollout.status.model_dump_json(by_alias=True, exclude_none=True)
    pilot.rollout = pilot.rollout.model_copy(update={"status": PilotRolloutStatus.model_validate_json(written)})


@settings(max_examples=60)
@given(worlds)
def test_a_gated_step_is_never_entered_without_its_quorum(world: list[Moment]) -> None:
    pilot = pilot_with_gates()
    since = 0
    for moment in world:
        sequence = pilot.rollout.status.history[-1].sequence
        play(pilot, moment)
        for entry in pilot.rollout.status.history:
            if entry.sequence <= sequence:
                continue
            if entry.action == "Advance" and entry.step == "some":
                approved = [e for e in pilot.rollout.status.history if e.action == "Approve" and e.sequence > since]
                people = {e.message.split(" ")[0] for e in approved}
                assert len(people) >= 3, "one of security and two of engineering are three people"
            if entry.action in ("Start", "Advance", "Return", "RollBack", "Restart", "Extend"):
                since = entry.sequence


@settings(max_examples=40)
@given(worlds)
def test_each_decision_acts_once_also_across_restarts(world: list[Moment]) -> None:
    pilot, restarted = pilot_with_gates(), pilot_with_gates()
    told: Counter[str] = Counter()
    sequence = pilot.rollout.status.history[-1].sequence
    for moment in (*world, CALM, CALM):  # what came while users were taken back is heeded after that
        play(pilot, moment)
        play(restarted, moment)
        restart(restarted)
        for entry in pilot.rollout.status.history:
            if entry.sequence > sequence and entry.message.split(" ")[0] in PEOPLE and entry.action != "Advance":
                told[entry.action] += 1
        sequence = pilot.rollout.status.history[-1].sequence
    assert restarted.rollout.status == pilot.rollout.status
    assert sum(told.values()) == len(pilot.decisions)


@settings(max_examples=40)
@given(worlds)
def test_no_decision_lets_users_in_while_something_takes_them_back(world: list[Moment]) -> None:
    pilot = pilot_with_gates()
    for moment in world:
        play(pilot, moment)
    if pilot.admitted:
        pilot.say("skip").say("resume").decide(after=600, rollback="breach")
        assert pilot.admitted == 0 or pilot.phase in ("RollingBack", "Completed")


approvals = st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(ROLES)), max_size=8)


@given(approvals, st.randoms())
def test_the_order_of_approvals_does_not_matter(given_: list[tuple[str, str]], chance: object) -> None:
    gate = Gate.model_validate(EXPANSION)
    made = [Approval(gate="expansion", role=role, by=by, generation=1, time=NOW, decision=by) for by, role in given_]
    shuffled = list(made)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    first = missing_in(gate, made, generation=1, author="")
    assert first == missing_in(gate, shuffled, generation=1, author="")
    assert (first == "") == _has_quorum(given_)


def _has_quorum(given_: list[tuple[str, str]]) -> bool:
    """Told apart from the code: some person of security, and two others of engineering."""
    security = {by for by, role in given_ if role == "security"}
    engineering = {by for by, role in given_ if role == "engineering"}
    return any(len(engineering - {one}) >= 2 for one in security)
