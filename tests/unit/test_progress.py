"""Progress: which counts of an answer are new, and what they are."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from pilotage.judging.evidence import PARTIAL, Answered, Measurement, NoData, Question, Series, Stage, Unavailable
from pilotage.judging.inference.likelihood import Settings
from pilotage.judging.inference.noise import fallback
from pilotage.judging.inference.sequential import ScrapeStep
from pilotage.judging.progress import (
    LONGEST_STEPS,
    Arms,
    Progress,
    begun,
    caught_up,
    earlier_question,
    earlier_requests,
    history_counts,
    question_for,
)
from pilotage.resources.durations import DAY, HOUR
from tests.unit.counted_world import START

SINCE = START.timestamp()
ARMS = Arms("on", "off", 0.5)
SETTINGS = Settings(0.01)
TAIL = Question(Measurement(errors="e", total="t"), 30.0, 120.0, 15.0, aligned=True)
FRESH = begun(Stage("few", START, 0.1), fallback(SETTINGS), (TAIL, ARMS, SETTINGS))

Points = Sequence[tuple[float, float, float]]
"""Steps after the beginning, ratio, total of the window."""


def at(step: float) -> float:
    return SINCE + 15 * step - 1


def answer(**by_variant: Points) -> Answered:
    return Answered(
        tuple(
            ("" if name == "none" else name, Series(tuple(at(p[0]) for p in points), *_columns(points)))
            for name, points in by_variant.items()
        )
    )


def _columns(points: Points) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(point[1] for point in points), tuple(point[2] for point in points)


def steps_of(progress: Progress) -> list[ScrapeStep]:
    return list(progress.newest.recent)


def test_windows_are_scaled_to_their_steps_and_variants_are_put_side_by_side() -> None:
    found = caught_up(FRESH, answer(on=[(3, 0.1, 20), (4, 0, 10)], off=[(4, 0.5, 200), (5, 0, 100)]), end=at(5))
    assert steps_of(found) == [ScrapeStep(10, 1, 0, 0), ScrapeStep(5, 0, 100, 50), ScrapeStep(0, 0, 50, 0)]
    assert (found.newest.until, found.newest.requests, found.newest.heard_at) == (at(5), 15, at(4))
    assert found.settled.until == at(3)


def test_windows_that_reach_back_before_the_step_are_not_its_own() -> None:
    found = caught_up(FRESH, answer(on=[(step, 0, 20) for step in range(6)]), end=at(5))
    assert len(steps_of(found)) == 3


def test_errors_that_are_negative_by_rounding_are_none_and_cost_no_step() -> None:
    found = caught_up(FRESH, answer(on=[(3, -1e-12, 20)], off=[(3, -0.5, 20)]), end=at(3))
    assert steps_of(found) == [ScrapeStep(10, 0, 10, 0)]
    assert len(found.newest.state.control) == 2


def test_what_carries_no_variant_is_nobodys() -> None:
    assert caught_up(FRESH, answer(none=[(3, 1, 20)]), end=at(3)) == FRESH


def test_a_step_that_is_filled_in_later_replaces_what_was_there() -> None:
    first = caught_up(FRESH, answer(on=[(3, 0, 20), (4, 0, 10)]), end=at(4))
    assert first.newest.requests == 15
    second = caught_up(first, answer(on=[(3, 0, 20), (4, 0, 30), (5, 0, 20)]), end=at(5))
    assert second.newest.requests == 35


@pytest.mark.parametrize("missing", [Unavailable("down"), PARTIAL, NoData("no data: there were no events")])
def test_what_could_not_be_had_changes_nothing(missing: Unavailable | NoData) -> None:
    known = caught_up(FRESH, answer(on=[(3, 0, 20), (4, 0, 10)]), end=at(4))
    assert caught_up(known, missing, end=at(20)) is known


def test_what_does_not_exist_is_waited_for_an_hour_and_an_outage_for_ever() -> None:
    known = caught_up(FRESH, answer(on=[(3, 0, 20)]), end=at(3))
    assert caught_up(known, Unavailable("down"), end=at(2000)) is known
    assert caught_up(known, PARTIAL, end=at(2000)) is known
    later = caught_up(known, NoData("no data: there were no events"), end=at(2000))
    assert later.settled.until == at(2000) - HOUR
    assert later.newest == known.newest


def test_the_tail_is_asked_for_while_it_reaches_back_far_enough_and_else_whole_tails() -> None:
    assert question_for(TAIL, at(10), at(18)) == TAIL
    assert question_for(TAIL, at(10), at(19) + 1).span_seconds == 240
    assert question_for(TAIL, at(10), at(28)).span_seconds == 360
    assert question_for(TAIL, at(0), at(10**6)).steps == LONGEST_STEPS


def test_requests_of_earlier_hours_are_asked_for_by_the_hour() -> None:
    assert earlier_question(TAIL, SINCE, SINCE + HOUR) is None
    question = earlier_question(TAIL, SINCE, SINCE + DAY)
    assert question is not None
    assert (question.steps, question.window_seconds) == (22, HOUR + 15)
    assert question.end_at(SINCE + DAY) - question.span_seconds - question.window_seconds >= SINCE
    hours = tuple(SINCE + HOUR * hour for hour in range(2, 5))
    told = Answered((("on", Series(hours, (0.5,) * 3, (100 * (HOUR + 15) / HOUR,) * 3)),))
    assert earlier_requests(question, told, "on") == pytest.approx(300)
    assert earlier_requests(question, told, "off") == 0
    assert earlier_requests(question, NoData("none"), "on") == 0


def test_history_is_all_but_the_treatment_by_place_with_its_gaps() -> None:
    found = history_counts(
        answer(none=[(3, 0.5, 20)], off=[(3, 0, 10), (5, 0, 20)], on=[(4, 1, 100)], beta=[(5, 1, 2)]),
        ARMS,
        end=at(6),
        step=15,
        steps=4,
    )
    assert found == [(15, 5), None, (11, 1), None]
    assert history_counts(NoData("none"), ARMS, end=at(6), step=15, steps=4) == []


def test_evidence_is_of_all_steps_since_users_grew_and_requests_are_of_this_one() -> None:
    stage = Stage("more", START + timedelta(seconds=150), 0.2, counted_since=START)
    fresh = begun(stage, fallback(SETTINGS), (TAIL, ARMS, SETTINGS))
    assert question_for(TAIL, fresh.settled.until, at(20) + 2).span_seconds >= 20 * 15 - 30
    points = [(step, 0.2, 20) for step in range(3, 21)]
    found = caught_up(fresh, answer(on=points, off=[(step, 0, 200) for step in range(3, 21)]), end=at(20))
    alone = caught_up(
        begun(replace(stage, counted_since=None), fallback(SETTINGS), (TAIL, ARMS, SETTINGS)),
        answer(on=points, off=[(step, 0, 200) for step in range(3, 21)]),
        end=at(20),
    )
    assert max(found.newest.state.evidence) >= max(alone.newest.state.evidence) > 0
    assert found.newest.state.control[-1][0] > alone.newest.state.control[-1][0]
    assert found.newest.requests == alone.newest.requests == 80
