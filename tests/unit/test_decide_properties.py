"""What must hold whatever happens: random worlds, in which verdicts, delivery and pauses come as they like."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from pilotage.resources.status import ExposureStatus, PilotRolloutStatus, Verdict
from pilotage.rollout.bucketing import bucket_of, part_of
from pilotage.rollout.situation import NOBODY
from tests.builders import make_rollout
from tests.pilot import USERS, Pilot, guarded, said

ROLES = ("objective", "warning", "critical", "go", "noGo", "rollback", "throttle")
VERDICTS: tuple[Verdict, ...] = ("pass", "breach", "pending", "no-data", "unavailable")
TAKES_BACK = {"RollBack", "Throttle", "Restart", "Release"}


@dataclass(frozen=True)
class Moment:
    """One moment of a random world."""

    after: int
    verdicts: dict[str, Verdict]
    look: str
    paused: bool


# Mostly fine, so that random worlds get somewhere.
verdicts = st.sampled_from(VERDICTS + ("pass",) * 12)
moments = st.builds(
    Moment,
    after=st.sampled_from([0, 1, 5, 30, 61, 3600]),
    verdicts=st.fixed_dictionaries(dict.fromkeys(ROLES, verdicts)),
    look=st.sampled_from(["in force", "in force", "in force", "in force", "unknown", "something else"]),
    paused=st.sampled_from([False, False, False, True]),
)
worlds = st.lists(moments, min_size=1, max_size=25)
targets = st.sampled_from(["previous", "zero"])


def mixed(to: str) -> Pilot:
    """Names, then numbers above the list's limit by share, cohorts, then everybody."""
    return Pilot(
        guarded().with_spec(
            onRollback={"to": to},
            audience={
                "directory": {"configMap": "users"},
                "cohorts": [{"name": "buyers", "criteria": "orders > 10"}],
                "include": ["user-7"],
                "exclude": ["user-11", "user-13"],
            },
            steps=[
                {"name": "few", "users": 5, "cohorts": ["buyers"], "hold": "1m"},
                {"name": "some", "users": 20, "cohorts": ["buyers"], "hold": "1m"},
                {"name": "buyers", "percent": 75, "cohorts": ["buyers"], "hold": "1m"},
                {"name": "half", "percent": 50, "hold": "1m"},
                {"name": "most", "percent": "62.5", "hold": "1m"},
                {"name": "all", "percent": 100, "hold": "1m"},
            ],
        )
    )


# 198 users in all; 88 of them buyers, and user-7 is let in besides.
PLANNED = {"few": 5, "some": 20, "buyers": 66, "half": 99, "most": 123, "all": 198}


def play(pilot: Pilot, moment: Moment) -> None:
    pilot.in_force, pilot.contradicted = moment.look == "in force", moment.look == "something else"
    if pilot.rollout.spec.paused != moment.paused:
        pilot.edit(paused=moment.paused)
    pilot.decide(after=moment.after, **moment.verdicts)


def people(pilot: Pilot) -> frozenset[str]:
    """The directory's users who have the feature, told apart from the code that plans it."""
    status = pilot.rollout.status
    shown, cohort = status.exposure or NOBODY, status.cohort
    if cohort is None or shown.kind == "off":
        return frozenset()
    known = {user.key: user for user in USERS if user.key not in pilot.rollout.spec.audience.exclude}
    if shown.kind == "full":
        return frozenset(known)
    named = set(cohort.enrolled[: shown.enrolled])
    for key, user in known.items():
        part = part_of(bucket_of(key, seed=cohort.seed, generation=cohort.hash_generation))
        buys = int(user.attributes["orders"]) > 10
        granted = [(shown.share, shown.cohorts), *((kept.share, kept.cohorts) for kept in shown.kept)]
        if any(part < share and (buys or not cohorts) for share, cohorts in granted):
            named.add(key)
    return frozenset(named)


def last_sequence(status: PilotRolloutStatus) -> int:
    return status.history[-1].sequence if status.history else 0


@given(worlds, targets)
def test_admitted_users_never_exceed_the_plan_of_the_step(world: list[Moment], to: str) -> None:
    pilot = mixed(to)
    for moment in world:
        play(pilot, moment)
        inside = people(pilot)
        limit = PLANNED[pilot.step] if pilot.step != "-" else 0
        assert len(inside) <= limit
        assert pilot.admitted == len(inside), "status tells the number that really is in"
        assert not inside & set(pilot.rollout.spec.audience.exclude)


@given(worlds, targets)
def test_nobody_drops_out_while_growing(world: list[Moment], to: str) -> None:
    pilot = mixed(to)
    for moment in world:
        before, sequence = people(pilot), last_sequence(pilot.rollout.status)
        play(pilot, moment)
        new = {e.action for e in pilot.rollout.status.history if e.sequence > sequence}
        if not new & TAKES_BACK:
            assert before <= people(pilot)


@given(worlds, targets)
def test_the_trail_holds_each_step_on_the_way_and_no_other(world: list[Moment], to: str) -> None:
    pilot = mixed(to)
    for moment in world:
        play(pilot, moment)
        status, names = pilot.rollout.status, [step.name for step in pilot.rollout.spec.steps]
        entered = status.step.index + 1 if status.step else 0
        assert [shown.step for shown in status.trail] == names[:entered]


@given(worlds, targets, st.sampled_from(["rollback", "critical"]))
def test_a_rollback_is_reachable_from_everywhere(world: list[Moment], to: str, role: str) -> None:
    pilot = mixed(to)
    for moment in world:
        play(pilot, moment)
    before = people(pilot)
    if not before or pilot.phase == "Completed":
        return
    for _ in range(8):
        pilot.mend().decide(after=600, **said(role, "breach"))
    assert people(pilot) < before
    assert not people(pilot), "as long as it stays broken, nobody is left in the end"


@given(worlds, targets, st.sampled_from(["no-data", "unavailable"]))
def test_missing_data_never_advances_and_never_rolls_back(world: list[Moment], to: str, verdict: Verdict) -> None:
    pilot = mixed(to)
    for moment in world:
        play(pilot, moment)
    status = pilot.rollout.status
    if status.step is None or status.phase == "RollingBack":
        return
    for _ in range(5):
        pilot.decide(after=3600, **dict.fromkeys(ROLES, verdict))
    now = pilot.rollout.status
    assert (now.step.name if now.step else "", now.exposure) == (status.step.name, status.exposure)


@given(worlds, targets)
def test_a_step_ends_only_after_its_time_in_force(world: list[Moment], to: str) -> None:
    pilot, lost = mixed(to), False
    seconds: float | None = None
    for moment in world:
        if seconds is not None and not lost:
            seconds += moment.after
        if moment.look == "in force" and seconds is None and pilot.step != "-":
            seconds = 0.0
        lost = moment.look == "something else" or (lost and moment.look == "unknown")
        sequence = last_sequence(pilot.rollout.status)
        play(pilot, moment)
        new = {e.action for e in pilot.rollout.status.history if e.sequence > sequence}
        if new & {"Advance", "Complete"}:
            assert moment.look == "in force", "what nobody sees in force does not go on"
            assert seconds is not None
            assert seconds >= 60
        if new & {"Start", "Advance", "Restore"}:
            seconds = None


@given(worlds, targets)
def test_a_restart_at_any_point_changes_nothing(world: list[Moment], to: str) -> None:
    remembered, restarted = mixed(to), mixed(to)
    for moment in world:
        play(remembered, moment)
        play(restarted, moment)
        written = restarted.rollout.status.model_dump_json(by_alias=True, exclude_none=True)
        fresh = PilotRolloutStatus.model_validate_json(written)
        restarted.rollout = restarted.rollout.model_copy(update={"status": fresh})
    assert restarted.rollout.status == remembered.rollout.status


@given(worlds, targets)
def test_every_change_of_the_exposure_has_its_own_revision_and_record(world: list[Moment], to: str) -> None:
    pilot = mixed(to)
    seen: dict[int, ExposureStatus] = {}
    for moment in world:
        revision = pilot.rollout.status.delivery.revision if pilot.rollout.status.delivery else 0
        sequence = last_sequence(pilot.rollout.status)
        play(pilot, moment)
        status = pilot.rollout.status
        if status.delivery:
            assert seen.setdefault(status.delivery.revision, status.exposure or NOBODY) == (status.exposure or NOBODY)
            if status.delivery.revision != revision:
                assert status.delivery.revision == revision + 1
                assert last_sequence(status) == sequence + 1


@given(st.integers(1, 200), st.integers(1, 200))
def test_steps_by_number_admit_exactly_that_many(first: int, second: int) -> None:
    low, high = sorted((first, second))
    pilot = Pilot(
        make_rollout()
        .with_spec(audience={"directory": {"configMap": "users"}})
        .step("a", users=low)
        .step("b", users=high, hold="1h")
    )
    pilot.decide()
    inside = people(pilot)
    pilot.decide()
    assert (len(inside), len(people(pilot))) == (low, high)
    assert inside <= people(pilot)
