"""The report: what a reader must find in it, and what must never get through it."""

import functools
import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from pilotage.judging.evidence import Series
from pilotage.reports.collect import period_of
from pilotage.reports.indicator_chart import _runs
from pilotage.reports.numbers import write_elapsed
from pilotage.reports.palette import PLACEHOLDERS
from pilotage.reports.record import Bound, IndicatorRecord, Mark, Report, RolloutRecord
from pilotage.reports.report import render
from pilotage.resources.rollout import PilotRollout

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PLAN = (("week-1", 10), ("week-2", 20), ("week-3", 35), ("week-4", 50), ("limited", 900), ("everyone", 3000))


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def wire(seconds: float) -> str:
    return at(seconds).isoformat().replace("+00:00", "Z")


class History:
    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def add(self, seconds: float, action: str, step: str, admitted: str, message: str = "", *evidence: str) -> None:
        entry = {"time": wire(seconds), "sequence": len(self.entries) + 1, "action": action, "step": step}
        more = {"reason": action, "message": message or action, "admitted": admitted, "evidence": list(evidence)}
        self.entries.append({**entry, **more})


def rollout(name: str, history: History, **status: Any) -> PilotRollout:
    steps: list[dict[str, Any]] = [{"name": step, "users": users, "hold": "7s"} for step, users in PLAN[:4]]
    steps += [{"name": "limited", "percent": 30, "hold": "7s"}, {"name": "everyone", "percent": 100}]
    spec = {"feature": {"flag": name}, "steps": steps}
    return PilotRollout.model_validate(
        {
            "metadata": {"name": name, "namespace": "shop"},
            "spec": spec,
            "status": {"history": history.entries, "population": 3000, **status},
        }
    )


def completed() -> PilotRollout:
    history = History()
    for index, (step, users) in enumerate(PLAN):
        begin = 8.3 * index
        history.add(
            begin,
            "Advance" if index else "Start",
            step,
            f"{users} users" if users < 3000 else "everybody",
            f"step {step}",
            "go: error_ratio < 1%: pass (0.04%)",
            "go: satisfaction >= 8.5 for 5s: pass (9.1)",
        )
        if step == "week-2":
            history.add(begin + 3, "Hold", step, f"{users} users", "go: error_ratio < 1% for 5s: pending")
            history.add(begin + 5, "Resume", step, f"{users} users", "step week-2 is held for 7s")
    history.add(50, "Complete", "everyone", "everybody", "all 6 steps are done")
    return rollout("semantic-search", history, phase="Completed")


def rolled_back() -> PilotRollout:
    history = History()
    history.add(0, "Start", "week-1", "10 users", "step week-1")
    history.add(7.9, "Advance", "week-2", "20 users", "step week-2", "go: error_ratio < 1%: pass (0.04%)")
    history.add(15.8, "Advance", "limited", "900 users", "step limited", "go: error_ratio < 1%: pass (0.04%)")
    message = "breach: error_ratio 18.9% > 1% for 3s; users are taken back to nobody"
    history.add(30.4, "RollBack", "limited", "nobody", message, "rollback: error_ratio > 1% for 3s: breach (18.9%)")
    history.add(30.8, "RolledBack", "", "nobody", "users are taken back to nobody; verified 0.4s after the decision")
    rollback = {"decidedTime": wire(30.4), "verifiedTime": wire(30.8), "fromStep": "limited"}
    return rollout(
        "one-click-checkout",
        history,
        phase="RolledBack",
        rollback={**rollback, "reason": "Breach", "message": "spec.rollback[0] is broken: error_ratio > 1% for 3s"},
        criteria=[
            {"rule": "error_ratio > 1% for 3s", "role": "rollback", "verdict": "breach", "value": "18.9%"},
            {"rule": "satisfaction >= 8.5", "role": "go", "verdict": "no-data", "message": "nothing was measured"},
        ],
    )


def series(value: Any, end: int = 56, begin: int = 0) -> Series:
    seconds = range(begin, end)
    return Series(tuple(START.timestamp() + s for s in seconds), tuple(float(value(s)) for s in seconds))


def wave(level: float, size: float, phase: float = 0.0) -> Any:
    return lambda s: level + size * math.sin(s / 2.1 + phase) + size * math.sin(s * 1.7 + phase)


def indicators(treatment_errors: Any) -> tuple[IndicatorRecord, ...]:
    bounds = (
        Bound(0.01, "error_ratio > 1% for 3s", "rollback"),
        Bound(0.005, "error_ratio > 0.5%", "warning"),
    )
    ratio = (("on", series(treatment_errors)), ("off", series(wave(0.0006, 0.0003))))
    p95 = (("on", series(wave(0.021, 0.002))), ("off", series(wave(0.027, 0.001, 1.0))))
    rating = (("on", series(wave(9.1, 0.04), 26)), ("off", series(wave(8.4, 0.03))))
    return (
        IndicatorRecord("error_ratio", "ratio", ratio, bounds),
        IndicatorRecord("p95", "seconds", p95, (Bound(0.05, "< 50ms", "objective"),)),
        IndicatorRecord("satisfaction", "score", rating, (Bound(8.5, "satisfaction >= 8.5 for 5s", "go"),)),
        IndicatorRecord("conversions", "ratio", missing="no data: the query answered nothing"),
    )


def seen_of(found: PilotRollout) -> Series:
    moves = [(e.time, int(e.admitted.split()[0])) for e in found.status.history if "users" in e.admitted]

    def count(second: float) -> float:
        return max((users for moment, users in moves if moment < at(second - 1)), default=0) if second < 31 else 0

    def grown(second: float) -> float:
        return max((users for moment, users in moves if moment < at(second - 1)), default=0)

    return series(count if found.status.rollback else grown)


def healthy_record() -> RolloutRecord:
    found = completed()
    return RolloutRecord(found, at(-2), at(56), indicators(wave(0.0008, 0.0005)), seen_of(found))


def broken_record() -> RolloutRecord:
    found = rolled_back()
    failing = lambda s: 0.0 if s < 27 else min(0.2, 0.06 * (s - 26)) if s < 36 else 0.0  # noqa: E731
    mark = Mark(at(26.5), "the treatment starts to fail", "fault")
    return RolloutRecord(found, at(-2), at(40), indicators(failing), seen_of(found), (mark,))


def sample() -> Report:
    note = "Time is compressed: one second stands for one day."
    return Report("A shop rolls out two features", at(90), (healthy_record(), broken_record()), (note,))


@functools.cache
def sample_page() -> str:
    return render(sample())


def chart_of(page: str, number: int = 0) -> ET.Element:
    return ET.fromstring(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)[number])


def texts_of(chart: ET.Element) -> list[str]:
    return [text.text or "" for text in chart.iter("{http://www.w3.org/2000/svg}text")]


def test_a_report_shows_each_decision_with_its_evidence() -> None:
    page = sample_page()
    table = page[page.index('<table class="decisions">') : page.index("</table>")]
    for entry in completed().status.history:
        assert f">{entry.sequence}</b>" in table
        assert entry.action in table
    assert "go: satisfaction &gt;= 8.5 for 5s: pass (9.1)" in table


def test_a_report_shows_what_would_change_a_verdict_and_what_steps_can_prove() -> None:
    criterion = {
        "rule": "errors < 1%",
        "role": "objective",
        "verdict": "pending",
        "value": "0.4%",
        "evidence": "63%",
        "distance": "0.6 percentage points below",
        "remedy": "120 more requests (about 6m)",
    }
    outlook = {
        "step": "week-1",
        "rule": "errors < 1%",
        "proves": "TooLittle",
        "lasts": "15m",
        "needs": "5h",
        "traffic": "2 requests a minute",
        "message": "spec.steps[0].hold: hold at least 5h",
    }
    found = rollout("x", History(), phase="Progressing", criteria=[criterion], outlook=[outlook])
    page = render(Report("x", at(0), (RolloutRecord(found, at(0), at(0)),)))
    for text in ("63%", "0.6 percentage points below", "<b>Needs:</b> 120 more requests (about 6m)"):
        assert text in page
    for text in ("What the steps to come can prove", "2 requests a minute", "spec.steps[0].hold: hold at least 5h"):
        assert text in page
    assert "What the steps to come can prove" not in sample_page()


def test_the_summary_says_who_was_taken_back_why_and_how_quickly() -> None:
    page = render(Report("x", at(90), (broken_record(),)))
    text = re.sub(r"<[^>]*>", " ", page)
    assert "Step limited broke: error_ratio 18.9% &gt; 1% for 3s; users are taken back to nobody" in text
    assert re.search(r"Fault → decision\s+3\.9 s", text)
    assert re.search(r"Decision → verified off\s+0\.4 s", text)
    assert re.search(r"Most users\s+900\s+now 0", text)


def test_the_chart_names_steps_and_numbers_of_the_plan_and_marks_moves_not_holds() -> None:
    texts = texts_of(chart_of(sample_page()))
    assert {"10", "20", "35", "50", "900", "3,000"} <= set(texts)
    assert {"week-1", "limited", "everyone"} <= set(texts)
    assert {"1", "2", "5", "6", "7", "8", "9"} <= set(texts)
    assert not {"3", "4"} & set(texts)


def test_the_chart_shows_the_fault_and_the_bounds_of_the_rules() -> None:
    texts = texts_of(chart_of(render(Report("x", at(90), (broken_record(),)))))
    assert "the treatment starts to fail" in texts
    assert "error_ratio > 1% for 3s" in texts
    assert "no data: the query answered nothing" in texts


def test_colours_follow_the_style_sheet_so_that_dark_screens_and_paper_can_be_read() -> None:
    page = sample_page()
    assert not [name for name, color in PLACEHOLDERS.items() if color in page]
    assert "var(--treatment)" in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_ids_of_two_charts_never_meet() -> None:
    ids = [re.findall(r' id="([^"]+)"', svg) for svg in re.findall(r"<svg.*?</svg>", sample_page(), flags=re.DOTALL)]
    everything = [one for chart in ids for one in chart]
    assert len(everything) == len(set(everything))


def test_the_page_needs_nothing_from_anywhere_else() -> None:
    page = sample_page()
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', page)
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)
    assert "<script" not in page


EVIL = "<script>alert(1)</script>"


def test_texts_from_the_cluster_are_escaped_wherever_they_stand() -> None:
    history = History()
    history.add(0, "Start", EVIL, "10 users", EVIL, EVIL)
    said = dict.fromkeys(("rule", "value", "bound", "evidence", "distance", "remedy"), EVIL)
    criterion = {**said, "role": "go", "verdict": "pass"}
    outlook = {
        **dict.fromkeys(("step", "rule", "lasts", "traffic", "sees", "needs", "message"), EVIL),
        "proves": "TooLittle",
    }
    found = rollout("x", history, phase="Progressing", message=EVIL, criteria=[criterion], outlook=[outlook])
    found = found.model_copy(update={"metadata": found.metadata.model_copy(update={"name": EVIL, "namespace": EVIL})})
    indicator = IndicatorRecord(EVIL, "ratio", ((EVIL, series(wave(0.1, 0.01))),), (Bound(0.2, EVIL, "go"),), EVIL)
    record = RolloutRecord(found, at(-2), at(20), (indicator,), None, (Mark(at(5), EVIL, "fault"),))
    page = render(Report(EVIL, at(30), (record,), (EVIL,)))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 8
    assert EVIL in texts_of(chart_of(page))


def test_a_dollar_sign_in_a_rule_stays_a_dollar_sign() -> None:
    bound = Bound(0.2, "cost < $0.02 or $0.03", "go")
    indicator = IndicatorRecord("cost", "score", (("", series(wave(0.1, 0.01))),), (bound,))
    record = RolloutRecord(completed(), at(-2), at(56), (indicator,))
    assert "cost < $0.02 or $0.03" in texts_of(chart_of(render(Report("x", at(90), (record,)))))


def test_a_rollout_that_has_not_begun_has_a_report_too() -> None:
    record = RolloutRecord(rollout("x", History()), at(0), at(0))
    page = render(Report("x", at(0), (record,)))
    assert "No decision was made yet." in page
    assert "Not started" in page


def test_users_who_were_not_counted_are_not_drawn_as_zero() -> None:
    history = History()
    history.add(0, "Start", "limited", "30%")
    record = RolloutRecord(rollout("x", history, phase="Progressing"), at(-2), at(20))
    texts = texts_of(chart_of(render(Report("x", at(20), (record,)))))
    assert "users were not counted: no directory, no population" in texts


def test_a_gap_in_the_data_is_a_gap_in_the_line() -> None:
    begin = START.timestamp()
    whole = Series(tuple(begin + s for s in range(20)), (0.1,) * 20)
    holed = Series(tuple(begin + s for s in (*range(8), *range(14, 20))), (0.1,) * 14)
    assert len(_runs(whole)) == 1
    assert [len(times) for times, _ in _runs(holed)] == [8, 6]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.045, "45 ms"),
        (0.42, "0.4 s"),
        (52, "52 s"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (187_200, "2 d 4 h"),
        (86_400, "1 d"),
    ],
)
def test_lengths_of_time_are_written_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert write_elapsed(timedelta(seconds=seconds)) == text


def test_a_bound_that_is_far_away_does_not_press_the_lines_flat() -> None:
    bounds = (Bound(0.01, "near", "rollback"), Bound(0.02, "next", "critical"), Bound(0.5, "far away", "critical"))
    indicator = IndicatorRecord("error_ratio", "ratio", (("on", series(wave(0.003, 0.001))),), bounds)
    record = RolloutRecord(completed(), at(-2), at(56), (indicator,))
    texts = texts_of(chart_of(render(Report("x", at(90), (record,)))))
    assert {"near", "next"} <= set(texts)
    assert "far away" not in texts


def test_the_charts_begin_before_the_first_decision_and_end_after_the_last_one_or_what_is_marked() -> None:
    ended, running = completed(), rollout("x", History(), phase="Progressing")
    assert period_of(ended, at(5000)) == (at(-2), at(54))
    assert period_of(ended, at(51)) == (at(-2), at(51))
    assert period_of(ended, at(5000), [Mark(at(60), "later")]) == (at(0) - timedelta(seconds=2.4), at(64.8))
    assert period_of(running, at(10))[1] == at(10)
