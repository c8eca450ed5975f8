"""The benchmark of decision quality: what it prints, how it counts, and that our judge runs in it as released."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.decisions.__main__ import BEGIN, END, PAGE, main, parse_only, told
from bench.decisions.goals import GOALS, goals_table
from bench.decisions.rules import ours
from bench.decisions.running import ANEW, OURS, RULES, WITHOUT_HISTORY, measure
from bench.decisions.score import Score, StageEnds, score, upper_limit
from bench.decisions.table import tables
from bench.decisions.worlds import NEVER, World, draw, draw_history

CALM = World("independent", 20)
FAULTY = World("independent", 20, fault=0.2)


def score_of(world: World, early: int = 0, delays: tuple[float, ...] = (), runs: int = 1000) -> Score:
    return Score(world, OURS, runs, early, delays, StageEnds(3 * runs))


def test_a_tiny_run_prints_goals_and_tables_of_all_rules(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--runs", "20", "--jobs", "1", "--only", "noise=independent,rate=20,baseline=0.001"])
    printed = capsys.readouterr().out
    assert "| noise (20 requests/s) | " + " | ".join(RULES) + " |" in printed
    row = next(line for line in printed.splitlines() if line.startswith("| incident-20% |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert float(cells[1]) > 50, "five strikes fall for a shared incident"
    assert cells[-1] == "0", "the judge compares with control"
    assert "| faults >= 20 % at 20/s: median <= 90 s, none missed | median 90 s" in printed
    assert "| Pilotage | gap, baseline 0.1 % | 0 | 0 |" in printed


def test_the_same_seed_gives_the_same_scores_in_one_process_or_two() -> None:
    one, two = (measure([FAULTY], [OURS, RULES[0]], runs=30, seed=5, jobs=jobs) for jobs in (1, 2))
    assert [(s.world, s.rule, s.runs, s.early, sorted(s.delays)) for s in one] == [
        (s.world, s.rule, s.runs, s.early, sorted(s.delays)) for s in two
    ]
    assert {s.runs for s in one} == {30}


def test_our_judge_sees_a_big_fault_in_as_many_steps_as_the_objective_asks_for() -> None:
    profiles = ours.learn_profiles(draw_history(CALM, seed=1, index=0))
    runs = draw(World("independent", 500, fault=1.0), 10, seed=1)
    decided = ours.judge(runs, profiles)
    assert (decided.steps - runs.onsets + 1 == ours.SETTINGS.least_steps).all()


def test_our_judge_holds_nothing_up_in_a_calm_service() -> None:
    profiles = ours.learn_profiles(draw_history(CALM, seed=1, index=0))
    decided = ours.judge(draw(CALM, 10, seed=1), profiles)
    assert (decided.steps == NEVER).all()
    assert decided.ends == StageEnds(reached=30, held=0, short=0)


def test_our_judge_says_when_a_stage_had_too_few_requests() -> None:
    decided = ours.judge(draw(World("independent", 0.05), 10, seed=1), ours.without_history())
    assert decided.ends == StageEnds(reached=30, held=0, short=30)


def test_evidence_that_is_kept_over_stages_finds_a_fault_that_began_before() -> None:
    scores = measure([World("independent", 20, fault=0.02)], [OURS, ANEW, WITHOUT_HISTORY], runs=50, seed=3, jobs=1)
    kept, anew, blunt = scores
    assert np.mean([min(delay, 3600) for delay in kept.delays]) <= np.mean([min(d, 3600) for d in anew.delays])
    assert blunt.missed_percent > 50, "without a history, faults of twice the objective only hold"


def test_a_rollback_before_the_onset_is_early_and_a_fault_that_stays_is_missed() -> None:
    onsets, decided = np.array([20, 20, 20, 20]), np.array([10, 20, 25, NEVER])
    counted = score(FAULTY, "any", onsets, decided)
    assert counted.early == 1
    assert counted.delays == (15, 90, math.inf)
    assert counted.delay(0.5) == 90
    assert counted.delay(0.9) == math.inf
    assert counted.missed_percent == pytest.approx(100 / 3)


def test_every_rollback_of_a_healthy_rollout_is_false() -> None:
    counted = score(CALM, "any", np.array([NEVER] * 4), np.array([NEVER, 0, 239, NEVER]))
    assert (counted.early_percent, counted.delays) == (50, ())


def test_a_score_survives_json() -> None:
    before = Score(FAULTY, OURS, 10, 1, (90.0, math.inf), StageEnds(3, 2, 1))
    assert Score.from_json(before.to_json()) == before


@pytest.mark.parametrize(("count", "of", "limit"), [(0, 500, 0.76), (0, 2000, 0.19), (5, 1000, 1.16)])
def test_the_upper_limit_is_that_of_wilson(count: int, of: int, limit: float) -> None:
    assert upper_limit(count, of) == pytest.approx(limit, abs=0.01)


@pytest.mark.parametrize(
    ("world", "early", "delays", "outcome"),
    [
        (World("missing", 500), 1, (), "met"),
        (World("missing", 500), 2, (), "**missed**"),
        (World("all", 1), 5, (), "met"),
        (World("all", 1), 6, (), "**missed**"),
        (World("independent", 1, event="incident-5%"), 2, (), "**missed**"),
        (World("independent", 1, event="gap"), 1, (), "**missed**"),
        (World("slow5", 500, 0.005), 20, (), "met"),
        (World("slow5", 500, 0.005), 21, (), "**missed**"),
        (World("independent", 20, fault=0.02), 0, (240.0, 240.0), "met"),
        (World("independent", 20, fault=0.02), 0, (255.0, 255.0), "**missed**"),
        (World("independent", 20, fault=0.05), 0, (105.0,) * 8 + (180.0,) * 2, "**missed**"),
        (World("independent", 20, fault=0.2), 0, (90.0,) * 99 + (math.inf,), "**missed**"),
    ],
)
def test_goals_are_compared_with_the_worst_cell(
    world: World, early: int, delays: tuple[float, ...], outcome: str
) -> None:
    table = goals_table([score_of(world, early, delays)], OURS)
    assert table.splitlines()[2].endswith(f"| {outcome} |")


def test_goals_that_nothing_was_measured_for_are_left_out() -> None:
    assert len(goals_table([score_of(FAULTY, 0, (90.0,))], OURS).splitlines()) == 3
    assert len(GOALS) == 9


def test_traffics_of_a_noise_share_a_row() -> None:
    text = tables([score_of(World("all", rate), early) for rate, early in ((1, 0), (20, 5), (500, 200))])
    assert "| all | 0 / 0.5 / 20 |" in text


def test_variants_have_tables_of_their_own_beside_our_rule() -> None:
    scores = [replace(score_of(FAULTY, 0, (delay,)), rule=rule) for rule, delay in ((OURS, 90), (ANEW, 75))]
    main_tables, _, beside = told(scores).partition("## Other ways to run our judge")
    assert ANEW not in main_tables
    assert "| 20 %, 20 | 90 / 90 | 75 / 75 |" in beside


def test_only_is_read_as_alternatives_per_key() -> None:
    assert parse_only("noise=slow5,noise=all,event=") == {"noise": ["slow5", "all"], "event": [""]}
    with pytest.raises(ValueError, match="'slow5' isn't key=value"):
        parse_only("slow5")


def test_write_renews_the_figures_of_the_page_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / PAGE
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    record, only = str(tmp_path / "scores.json"), "noise=independent,rate=20,baseline=0.001,rule="
    for rule in ("Flagger", "Argo"):
        main(["--runs", "5", "--jobs", "1", "--only", only + rule, "--record", record])
    main(["--runs", "0", "--record", record, "--write", str(tmp_path)])
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert f"| {' | '.join(RULES[:3])} |" in text, "the record keeps what was measured before"
    for plot in ("false", "delay"):
        drawn = (tmp_path / f"decision-quality-{plot}.svg").read_text()
        assert drawn.startswith("<?xml")
        assert RULES[0] in drawn
    assert "Flagger" in capsys.readouterr().out
