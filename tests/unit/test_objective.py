"""Objectives on errors as the sequential judge judges them: what decides, what holds, and what it says."""

from datetime import timedelta

import pytest

from pilotage.judging.evidence import Answered, Evidence, NoData, Series, Stage, Unavailable
from pilotage.judging.incidents import Incident
from pilotage.judging.questions import RuleError
from pilotage.judging.threshold import ThresholdRule
from tests.unit.counted_world import COUNTED, START, STEP, CountedWorld, Counts, Operator, calm, moment, rules_of


def broken_from(step: int, *, treatment: float = 0.05, control: float = 0.0, until: int = 10**9) -> CountedWorld:
    """Calm, and from a step on these parts of the requests fail."""

    def counts(number: int) -> Counts:
        if not step <= number < until:
            return calm(number)
        return {"on": (300.0, 300 * treatment), "off": (2700.0, 2700 * control)}

    return CountedWorld(counts)


async def test_a_calm_treatment_passes_once_enough_requests_have_proved_it() -> None:
    operator = Operator(CountedWorld(calm), rules_of())
    first = await operator.only(3)
    assert first.verdict == "no-data"
    assert first.message == "errors 0%, but only 30 of 441 requests that prove it"
    assert first.earliest is not None
    assert first.remedy == "411 more requests"
    soon = await operator.only(8)
    assert soon.earliest is not None
    for step in range(9, 40):
        last = await operator.only(step)
    assert (last.verdict, last.message) == ("pass", "errors 0% after 1110 requests")
    assert abs((soon.earliest - moment(17)).total_seconds()) <= 3 * STEP


async def test_a_fault_of_treatment_alone_is_taken_back_after_its_for_and_not_before() -> None:
    operator = Operator(broken_from(50), rules_of({"for": "90s"}))
    verdicts = {step: (await operator.only(step)).verdict for step in range(20, 60)}
    assert {verdicts[step] for step in range(20, 50)} == {"pass"}
    assert min(step for step, verdict in verdicts.items() if verdict == "breach") == 55  # six steps: 50 to 55
    assert (await operator.only(60)).message == ("errors 5%: certainly more than 0.5%, and more than control has")


async def test_a_fault_of_both_arms_holds_and_is_never_taken_back() -> None:
    operator = Operator(broken_from(50, treatment=0.2, control=0.2), rules_of())
    findings = [await operator.only(step) for step in range(20, 300)]
    assert "breach" not in {finding.verdict for finding in findings}
    assert findings[-1].verdict == "pending"
    assert "a shared incident is suspected" in findings[-1].message


async def test_a_healthy_treatment_is_not_held_by_errors_of_control() -> None:
    operator = Operator(broken_from(50, treatment=0.001, control=0.2), rules_of())
    findings = [await operator.only(step) for step in range(20, 80)]
    assert {finding.verdict for finding in findings[-30:]} == {"pass"}


async def test_after_a_shared_incident_it_goes_on() -> None:
    operator = Operator(broken_from(50, treatment=0.2, control=0.2, until=70), rules_of())
    findings = {step: await operator.only(step) for step in range(20, 130)}
    assert findings[69].verdict == "pending"
    assert findings[129].verdict == "pass"


async def test_without_history_small_faults_hold_and_the_message_says_why() -> None:
    world = broken_from(50, treatment=0.025)
    since = world.counts
    world.counts = lambda number: since(number) if number > 0 else {}
    operator = Operator(world, rules_of())
    findings = [await operator.only(step) for step in range(20, 150)]
    assert findings[-1].verdict == "pending"
    assert "it only holds: there is too little history" in findings[-1].message
    [profile] = operator.profiles.values()
    assert "0 h of history are too few" in profile.note


async def test_a_whole_rollout_without_control_is_judged_by_its_for() -> None:
    def alone(number: int) -> Counts:
        return {"on": (300.0, 30.0 if number >= 50 else 0.0)}

    operator = Operator(CountedWorld(alone), rules_of({"for": "90s"}))
    assert (await operator.only(40)).message == "errors 0% < 1% (no control to compare with)"
    verdicts = {step: (await operator.only(step)).verdict for step in range(41, 60)}
    assert [step for step, verdict in verdicts.items() if verdict == "pending"] == [50, 51, 52, 53, 54]
    assert verdicts[55] == "breach"


async def test_unlabelled_counts_are_judged_by_their_for_and_become_nobodys_when_labels_come() -> None:
    def counts(number: int) -> Counts:
        return {"": (300.0, 0.0)} if number < 20 else {**calm(number), "": (5.0, 5.0)}

    operator = Operator(CountedWorld(counts), rules_of())
    assert "no control to compare with" in (await operator.only(10)).message
    for step in range(11, 60):
        last = await operator.only(step)
    assert last == await operator.restarted().only(59)
    assert last.message == "errors 0% after 1200 requests"


async def test_control_without_traffic_is_judged_by_time_until_it_is_back() -> None:
    def counts(number: int) -> Counts:
        return calm(number) if number < 40 or number > 60 else {"on": (30.0, 0.0)}

    operator = Operator(CountedWorld(counts), rules_of())
    said = {step: (await operator.only(step)).message for step in range(20, 70)}
    assert [step for step, message in said.items() if "no control" in message] == list(range(43, 61))


async def test_treatment_without_a_total_is_no_data_and_without_errors_is_healthy() -> None:
    def counts(number: int) -> Counts:
        return calm(number) if number < 40 else {"off": (270.0, 0.0)}

    operator = Operator(CountedWorld(counts), rules_of())
    found = {step: await operator.only(step) for step in range(20, 60)}
    assert found[39].verdict == "pass"
    assert found[59].verdict == "no-data"
    assert found[59].message == "errors: no requests of the variant on since 09:09:44 UTC"


async def test_a_treatment_that_is_seldom_used_is_not_called_silent() -> None:
    def counts(number: int) -> Counts:
        return {"on": (1.0, 0.0), "off": (50.0, 0.0)} if number % 8 == 0 else {"off": (50.0, 0.0)}

    operator = Operator(CountedWorld(counts), rules_of({"minimumRequests": 4}))
    assert {(await operator.only(step)).verdict for step in range(50, 120)} == {"pass"}


async def test_more_errors_than_requests_are_no_more_than_all_requests() -> None:
    def counts(number: int) -> Counts:
        return {"on": (10.0, 10.4 if number >= 20 else 0.0), "off": (90.0, -1e-9)}

    operator = Operator(CountedWorld(counts), rules_of())
    assert {(await operator.only(step)).verdict for step in range(20, 30)} >= {"breach"}


async def test_missing_and_failing_answers_are_said_as_they_are() -> None:
    [rule] = rules_of()
    for answer, verdict in ((NoData("nothing"), "no-data"), (Unavailable("gone"), "unavailable")):
        found = rule.judge(Evidence({rule.tail: answer}, Stage("few", START)), moment(10))
        assert (found.verdict, found.message.startswith("errors: ")) == (verdict, True)


def test_before_the_first_step_the_present_is_judged_by_its_for() -> None:
    [rule] = rules_of({"for": "30s"})
    times = tuple(START.timestamp() - 1 - STEP * back for back in range(8, -1, -1))
    answer = Answered((("on", Series(times, (0.5,) * 9, (10.0,) * 9)),))
    assert rule.judge(Evidence({rule.tail: answer}), START).verdict == "breach"


async def test_what_was_broken_before_the_step_is_no_evidence_in_it() -> None:
    """A rollout that stepped back sees the step that broke in its first windows."""
    world = broken_from(-100, treatment=1.0, until=1)
    operator = Operator(world, rules_of(), Stage("few", START + timedelta(seconds=7), 0.1))
    findings = [await operator.only(step) for step in range(1, 60)]
    assert {finding.evidence for finding in findings} <= {None, "0%"}


async def test_two_objectives_with_the_same_text_are_judged_apart() -> None:
    rules = rules_of({"for": "30s"}, {"for": "5m"}, {"for": "5m", "sensitivity": "strict"})
    operator = Operator(broken_from(50), rules)
    found = {step: await operator.judge(step) for step in range(20, 80)}
    first = [min(step for step in found if found[step][index].verdict == "breach") for index in range(3)]
    assert first == [51, 69, 69]
    assert len(operator.profiles) == 3
    assert len({rule.text for rule in rules}) == 1


async def test_what_is_edited_begins_anew_and_what_is_not_goes_on() -> None:
    operator = Operator(broken_from(50), rules_of())
    for step in range(20, 60):
        assert await operator.only(step)
    operator.rules = rules_of({"sensitivity": "strict"})
    edited = await operator.only(60)
    assert edited == await operator.restarted().only(60)
    operator.rules = rules_of(indicator={**COUNTED, "errors": "increase(other[$window])"})
    assert await operator.only(61) == await operator.restarted().only(61)


@pytest.mark.parametrize(
    ("objective", "field", "message"),
    [
        ({"judge": "sequential", "objective": "> 1%"}, "judge", "no upper bound between 0% and 100%"),
        ({"judge": "sequential", "objective": "<= 0%"}, "judge", "no upper bound between 0% and 100%"),
        ({"judge": "sequential", "for": "2h"}, "judge", "longer than 240 intervals: write at most 1h"),
        ({"judge": "sequential", "window": "5m"}, "window", "leave window away"),
        ({"judge": "threshold", "minimumRequests": 5}, "minimumRequests", "for the sequential judge alone"),
        ({"for": "5s"}, "for", "shorter than spec.interval"),
    ],
)
def test_what_the_judge_can_not_heed_is_refused_with_the_remedy(
    objective: dict[str, object], field: str, message: str
) -> None:
    with pytest.raises(RuleError, match=message) as refused:
        rules_of(objective)
    assert refused.value.field == f"spec.objectives[0].{field}"


@pytest.mark.parametrize(
    ("indicator", "message"),
    [
        ({"total": "sum(rate(r[$window]))"}, r"errors uses rate\(\), which is per second, and not a count"),
        ({"errors": "e", "total": "r"}, r"don't use \$window"),
        ({"errors": None, "total": None, "query": "q[$window]", "unit": "ratio"}, "give it errors and total"),
    ],
)
def test_what_is_no_count_is_judged_by_time_unless_the_judge_is_asked_for(
    indicator: dict[str, object], message: str
) -> None:
    kept = {name: said for name, said in {**COUNTED, **indicator}.items() if said is not None}
    assert rules_of({}, indicator=kept) == []
    with pytest.raises(RuleError, match=message):
        rules_of({"judge": "sequential"}, indicator=kept)


@pytest.mark.parametrize(
    ("interval", "seconds", "hours"), [("1s", 1, 6), ("5s", 5, 24), ("15s", 15, 72), ("1m", 60, 72)]
)
def test_windows_overlap_by_a_scrape_and_histories_are_full_hours(interval: str, seconds: float, hours: int) -> None:
    [rule] = rules_of(interval=interval)
    assert (rule.tail.step_seconds, rule.tail.window_seconds, rule.arms.scale) == (seconds, 2 * seconds, 0.5)
    assert rule.history.span_seconds == hours * 3600
    assert isinstance(rule.by_time, ThresholdRule)
    assert rule.by_time.questions == rule.questions


async def test_noise_of_the_service_is_learned_thinned_and_says_from_when_it_is() -> None:
    def noisy(number: int) -> Counts:
        worst = -4800 <= number < -4700 or -3200 <= number < -3100 or -1600 <= number < -1500
        return {"off": (300.0, 30.0 if worst and number % 2 else 0.3)} if number < 0 else calm(number)

    operator = Operator(CountedWorld(noisy), rules_of())
    await operator.only(5)
    [profile] = operator.profiles.values()
    assert profile.learned
    assert profile.hours == 72
    assert profile.thresholds[0] > 9
    assert "UTC on); learned from the whole service, thinned to 0.1 of it" in profile.note
    sized = Operator(
        operator.world, rules_of(indicator={**COUNTED, "history": {"errors": "he[$window]", "total": "hr[$window]"}})
    )
    await sized.only(5)
    [profile] = sized.profiles.values()
    assert "thinned" not in profile.note


def test_nobody_learns_from_a_declared_incident_what_is_normal() -> None:
    [rule] = rules_of()
    end = rule.history.end_at(START.timestamp())
    times = tuple(end - place * STEP for place in reversed(range(rule.history.steps)))
    began, over = START - timedelta(hours=20), START - timedelta(hours=14)
    broken = [began.timestamp() <= at <= over.timestamp() for at in times]
    ratios = tuple(0.5 if bad else 0.001 for bad in broken)
    answer = Answered((("off", Series(times, ratios, (600.0,) * len(times))),))
    incident = Incident("critical", began, over, "outage")
    stage = Stage("few", START, 0.1)
    blunt, sharp = rule.learned(answer, stage, START), rule.learned(answer, stage, START, [incident])
    assert (blunt.hours, sharp.hours) == (72, 66)
    assert sharp.thresholds[0] < blunt.thresholds[0]
    assert sharp.note.startswith("calm")
