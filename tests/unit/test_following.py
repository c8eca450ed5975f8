"""Following a step's counts: a restart at any moment changes nothing; nothing is lost or counted twice."""

import asyncio
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.judging.evidence import PARTIAL, Answer, Answered, NoData, Question, Stage, Unavailable
from pilotage.judging.inference.sequential import ScrapeStep, advance
from pilotage.judging.progress import LONGEST_STEPS, Progress
from pilotage.metrics.following import Followed
from tests.unit.counted_world import OUTAGE, START, STEP, CountedWorld, Counts, Operator, calm, moment, rules_of


def history(question: Question) -> bool:
    return question.span_seconds > 24 * 3600 or question.step_seconds > STEP


def without_history(number: int) -> Counts:
    return calm(number) if number > 0 else {}


def progress_of(operator: Operator) -> Progress:
    [progress] = operator.before.evidence.progress.values()
    return progress


def random_counts(seed: int) -> dict[int, Counts]:
    """Two hours of a world with faults, gaps and arms that come and go."""
    random = Random(seed)
    level = {"on": 0.0, "off": 0.0}
    made: dict[int, Counts] = {}
    for number in range(1, 480):
        for variant in level:
            if random.random() < 0.03:
                level[variant] = random.choice([0.0, 0.001, 0.01, 0.2, 1.05])
        gone = {variant for variant in level if random.random() < 0.05}
        made[number] = {
            variant: (requests := random.choice([0.0, 3.0, 40.0, 41.7]), requests * ratio)
            for variant, ratio in level.items()
            if variant not in gone
        }
        if random.random() < 0.03:
            made[number] = {"": (50.0, 50.0), **made[number]}
    return made


@settings(max_examples=12)
@given(st.integers(0, 10**6))
def test_a_restart_at_any_moment_gives_the_same_findings(seed: int) -> None:
    """One process judges when it can, with outages and late scrapes; another is started anew for each judgement."""
    random, counts = Random(seed), random_counts(seed)
    late = {number: random.choice([1, 2]) for number in counts if random.random() < 0.1}
    away: list[Answer] = [OUTAGE, OUTAGE, PARTIAL]
    outages = {number for start in random.sample(range(20, 470), 2) for number in range(start, start + 45)}

    def out(question: Question, step: int) -> Answer | None:
        return None if step not in outages or history(question) else random.choice(away)

    world = CountedWorld(lambda number: counts.get(number, {}), late, out)
    rules = rules_of({}, {"for": "5m", "minimumRequests": 10})
    operator = Operator(world, rules, Stage("few", START + timedelta(seconds=random.uniform(0, 40)), 0.1))

    async def story() -> None:
        for number in range(2, 470):
            if random.random() < 0.2:
                continue  # a judgement that comes late
            if random.random() < 0.02:
                operator.before = Followed()
            moment_of_it = number + random.choice([0, 0, 0.3])
            found = await operator.judge(moment_of_it)
            if number not in outages and number % 7 == 0:
                assert found == await operator.restarted().judge(moment_of_it), number

    asyncio.run(story())


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_judged_bit_by_bit_is_judged_at_once(seed: int) -> None:
    """The state is that of a replay over all counts, bit for bit."""
    counts = random_counts(seed)
    [rule] = rules_of()
    operator = Operator(CountedWorld(lambda number: counts.get(number, {})), [rule])

    async def story() -> None:
        for number in range(2, 470):
            await operator.judge(number)

    asyncio.run(story())
    steps = []
    for number in range(3, 470):
        (n, a), (m, b) = (_as_answered(counts[number].get(variant, (0.0, 0.0))) for variant in ("on", "off"))
        if n or m:
            steps.append(ScrapeStep(n, a, m, b))
    progress = progress_of(operator)
    assert progress.newest.state == advance(rule.settings, progress.profile, steps)
    assert progress.newest.requests == sum(step.requests for step in steps)
    assert progress.newest.recent == tuple(steps[-4:])


def _as_answered(counts: tuple[float, float]) -> tuple[float, float]:
    requests, errors = counts
    return (requests, errors * 2 / (requests * 2) * (requests * 2) * 0.5) if requests else (0.0, 0.0)


async def test_a_judgement_asks_for_the_tail_alone_and_a_restart_for_all_of_the_step() -> None:
    operator = Operator(CountedWorld(without_history), rules_of())
    await operator.judge(10)
    for number in range(11, 100):
        operator.world.asked.clear()
        await operator.judge(number)
        assert operator.world.asked == [operator.rules[0].tail]
    restarted = operator.restarted()
    restarted.world.asked.clear()
    await restarted.judge(100)
    longest = max(question.steps for question in restarted.world.asked)
    assert 98 <= longest <= 98 + operator.rules[0].tail.steps


async def test_prometheus_away_for_ten_minutes_loses_nothing() -> None:
    def out(_question: Question, step: int) -> Answer | None:
        return OUTAGE if 50 <= step < 90 else None

    operator = Operator(CountedWorld(without_history, out=out), rules_of())
    for number in range(3, 50):
        await operator.judge(number)
    before = progress_of(operator)
    for number in range(50, 90):
        [found] = await operator.judge(number)
        assert found.verdict == "unavailable"
    assert progress_of(operator) == before
    await operator.judge(90)
    assert progress_of(operator).newest.requests == 30 * 88
    assert progress_of(operator) == progress_of(await judged(operator.restarted(), 90))


async def judged(operator: Operator, step: float) -> Operator:
    await operator.judge(step)
    return operator


async def test_scrapes_that_are_stored_late_are_counted_and_none_twice() -> None:
    late = dict.fromkeys(range(5, 60, 5), 2)
    operator = Operator(CountedWorld(without_history, late), rules_of())
    for number in range(3, 70):
        await operator.judge(number)
    assert progress_of(operator).newest.requests == 30 * 67
    assert progress_of(operator).newest.state.control[-1][0] == 270 * 67


async def test_a_gap_in_the_metrics_is_skipped_and_does_not_make_questions_grow_for_ever() -> None:
    def counts(number: int) -> Counts:
        return without_history(number) if number < 20 or number > 1000 else {}

    operator = Operator(CountedWorld(counts), rules_of())
    for number in range(3, 1001):
        operator.world.asked.clear()
        [found] = await operator.judge(number)
    assert found.verdict == "no-data"
    assert max(question.steps for question in operator.world.asked) <= 256
    for number in range(1001, 1031):
        [found] = await operator.judge(number)
    assert (found.verdict, found.message) == ("pass", "errors 0% after 1410 requests")


async def test_where_the_whole_step_can_not_be_asked_for_the_newest_counts_still_roll_back() -> None:
    """Prometheus answers short questions and fails at long ones."""

    def counts(number: int) -> Counts:
        return without_history(number) if number < 1200 else {"on": (30.0, 15.0), "off": (270.0, 0.0)}

    def out(question: Question, _step: int) -> Answer | None:
        return OUTAGE if question.steps > 240 and not history(question) else None

    operator = Operator(CountedWorld(counts, out=out), rules_of())
    await operator.judge(1190)
    long_ones = [question.steps for question in operator.world.asked if 240 < question.steps < 10_000]
    assert len(long_ones) == 1
    operator.world.asked.clear()
    verdicts = {number: (await operator.judge(number))[0].verdict for number in range(1191, 1210)}
    assert min(number for number, verdict in verdicts.items() if verdict == "breach") == 1205
    long_ones = [question.steps for question in operator.world.asked if question.steps > 240]
    assert len(long_ones) == 4  # once a minute
    operator.world.out = lambda _question, _step: None
    for number in range(1210, 1216):
        await operator.judge(number)
    assert (
        progress_of(operator).newest.requests == progress_of(await judged(operator.restarted(), 1215)).newest.requests
    )


async def test_requests_of_a_step_of_weeks_are_counted_over_all_of_it_after_a_restart() -> None:
    """Six requests a day: a day alone would never be enough."""

    def counts(number: int) -> Counts:
        return {"on": (1.0, 0.0), "off": (50.0, 0.0)} if number % 960 == 0 else {"off": (50.0, 0.0)}

    operator = Operator(CountedWorld(counts), rules_of({"minimumRequests": 60}))
    [found] = await operator.judge(14 * 5760)
    assert found.verdict == "pass"
    assert 80 <= progress_of(operator).newest.requests < 85
    lengths = [question.steps for question in operator.world.asked if question.step_seconds == STEP]
    assert max(length for length in lengths if length < 17_280) == LONGEST_STEPS
    operator.world.asked.clear()
    await operator.judge(14 * 5760 + 1)
    assert len(operator.world.asked) == 1


async def test_a_young_step_of_an_old_rollout_misses_no_requests_after_a_restart() -> None:
    """Its evidence is older than what is asked for; its requests are not."""
    operator = Operator(CountedWorld(without_history), rules_of())
    operator.stage = Stage("more", moment(9000), 0.2, START)
    await operator.judge(9100)
    assert progress_of(operator).uncounted_until is None
    assert progress_of(operator).newest.requests == 30 * 98


async def test_noise_is_learned_once_for_a_step_and_again_after_a_minute_where_history_was_away() -> None:
    away = [True]

    def out(question: Question, _step: int) -> Answer | None:
        return OUTAGE if history(question) and away else None

    operator = Operator(CountedWorld(calm, out=out), rules_of())
    asked = []
    for number in range(3, 20):
        operator.world.asked.clear()
        await operator.judge(number)
        asked.append(sum(history(question) for question in operator.world.asked))
        if number == 14:
            away.clear()
    assert asked == [1, 0, 0, 0] * 3 + [1, 0, 0, 0, 0]
    [profile] = operator.profiles.values()
    assert profile.learned
    assert progress_of(operator) == progress_of(await judged(operator.restarted(), 19))


@pytest.mark.parametrize(
    "answer",
    [
        Unavailable("Prometheus rejects the query; the operator's log has the reason"),
        NoData("several series for one value: aggregate the query"),
    ],
)
async def test_a_history_that_is_written_wrongly_is_said_and_not_asked_for_again(answer: Answer) -> None:
    operator = Operator(
        CountedWorld(calm, out=lambda question, _step: answer if history(question) else None), rules_of()
    )
    for number in range(3, 30):
        await operator.judge(number)
    assert sum(history(question) for question in operator.world.asked) == 1
    [profile] = operator.profiles.values()
    assert not profile.learned
    assert answer.reason in profile.note  # type: ignore[union-attr]


async def test_a_partial_history_teaches_nothing_yet() -> None:
    operator = Operator(
        CountedWorld(calm, out=lambda question, _step: PARTIAL if history(question) else None), rules_of()
    )
    await operator.judge(3)
    assert operator.profiles == {}


async def test_a_step_whose_beginning_moves_is_judged_from_there() -> None:
    operator = Operator(CountedWorld(without_history), rules_of())
    for number in range(3, 40):
        await operator.judge(number)
    operator.stage = Stage("few", moment(20), 0.1)
    await operator.judge(40)
    assert progress_of(operator).newest.requests == 30 * 18
    operator.stage = Stage("more", moment(40), 0.2)
    [found] = await operator.judge(41)
    assert found.verdict == "no-data"
    assert len(operator.profiles) == 1


async def test_answers_hold_what_was_asked_besides() -> None:
    operator = Operator(CountedWorld(calm), rules_of())
    await operator.judge(5)
    answer = operator.before.evidence.answers[operator.rules[0].tail]
    assert isinstance(answer, Answered)
    assert {variant for variant, _ in answer.by_variant} == {"on", "off"}
