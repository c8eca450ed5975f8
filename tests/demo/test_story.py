"""The demo fails when its story does not happen: each check over what clients saw and what the operator decided."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.shop import demo
from examples.shop.acts import StoryError
from examples.shop.screen import Screen
from examples.shop.stage import MANIFESTS, PartEndedError, Stage
from examples.shop.story import Chapter, Clients, Sight, plan_of
from pilotage.resources.rollout import PilotRollout
from testbed import SetupError

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ALL = 3000


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def wire(seconds: float) -> str:
    return at(seconds).isoformat().replace("+00:00", "Z")


def rollout(feature: str, **status: Any) -> PilotRollout:
    manifest = yaml.safe_load((MANIFESTS / f"{feature}.yaml").read_text())
    return PilotRollout.model_validate({**manifest, "status": status})


def in_step(feature: str, index: int, users: int, **more: Any) -> PilotRollout:
    step = {"index": index, "name": f"step-{index}", "enteredTime": wire(0)}
    return rollout(feature, phase="Progressing", step=step, exposure={"kind": "users", "users": users}, **more)


def walk(chapter: Chapter, feature: str, numbers: list[int], **clients: Any) -> None:
    for index, users in enumerate(numbers):
        chapter.look(Sight(Clients(inside=users, most=users, **clients), in_step(feature, index, users)))


def completed(**clients: Any) -> Sight:
    seen = {"inside": ALL, "most": ALL, **clients}
    exposure = {"kind": "full", "users": ALL}
    step = {"index": 5, "name": "everyone", "enteredTime": wire(0)}
    return Sight(Clients(**seen), rollout("semantic-search", phase="Completed", step=step, exposure=exposure))


def taken_back(*, decided: float = 5.0, last: float = 5.2, **clients: Any) -> Sight:
    rollback = {"decidedTime": wire(decided), "fromStep": "limited", "reason": "Breach", "message": "m"}
    seen = {
        "most": 900,
        "dropped": 900,
        "first_dropped_at": at(decided + 0.1),
        "last_treatment_at": at(last),
        **clients,
    }
    return Sight(Clients(**seen), rollout("one-click-checkout", phase="RolledBack", rollback=rollback))


def test_the_manifests_mean_the_numbers_that_the_demo_promises() -> None:
    assert plan_of(rollout("semantic-search").spec.steps, ALL) == [10, 20, 35, 50, 900, 3000]
    assert plan_of(rollout("one-click-checkout").spec.steps, ALL) == [50, 300, 900, 3000]


def test_a_feature_that_reaches_everybody_step_by_step_is_the_story() -> None:
    chapter = Chapter(ALL)
    walk(chapter, "semantic-search", [10, 20, 35, 50, 900, 3000])
    chapter.look(completed())
    chapter.end_completed(completed())
    assert chapter.problems == []


def test_a_rollout_that_is_not_completed_is_not_the_story() -> None:
    chapter = Chapter(ALL)
    walk(chapter, "semantic-search", [10, 20])
    chapter.end_completed(Sight(Clients(inside=20, most=20), in_step("semantic-search", 1, 20)))
    assert any("was to be completed, but is Progressing" in problem for problem in chapter.problems)


def test_a_step_that_was_left_out_is_not_the_story() -> None:
    chapter = Chapter(ALL)
    walk(chapter, "semantic-search", [10, 20, 50])
    chapter.end_completed(completed())
    assert any("[10, 20, 35, 50, 900, 3000]" in problem for problem in chapter.problems)


def test_percent_may_mean_a_few_users_fewer_and_counted_users_none() -> None:
    few, fewer = Chapter(ALL), Chapter(ALL)
    walk(few, "semantic-search", [10, 20, 35, 50, 878, 3000])
    few.end_completed(completed())
    assert few.problems == []
    walk(fewer, "semantic-search", [10, 20, 34, 50, 878, 3000])
    fewer.end_completed(completed())
    assert fewer.problems != []


def test_a_client_who_never_saw_the_feature_is_not_the_story() -> None:
    chapter = Chapter(ALL)
    walk(chapter, "semantic-search", [10, 20, 35, 50, 900, 3000])
    chapter.end_completed(completed(inside=2999))
    assert chapter.problems == ["only 2999 of 3000 clients saw the treatment at the end"]


def test_more_clients_with_the_treatment_than_were_admitted_are_noticed() -> None:
    chapter = Chapter(ALL)
    chapter.look(Sight(Clients(inside=10, most=11), in_step("semantic-search", 0, 10)))
    assert chapter.problems == ["11 clients had the treatment at a time, while 10 users were admitted"]


def test_more_admitted_users_than_the_plan_has_are_noticed() -> None:
    chapter = Chapter(ALL)
    chapter.look(Sight(Clients(), in_step("semantic-search", 0, 11)))
    assert any("admitted 11 users, while the plan says 10" in problem for problem in chapter.problems)


def test_a_client_who_drops_out_while_growing_is_noticed() -> None:
    chapter = Chapter(ALL)
    walk(chapter, "semantic-search", [10, 20, 35, 50, 900, 3000], dropped=1, first_dropped_at=at(3))
    chapter.end_completed(completed(dropped=1, first_dropped_at=at(3)))
    assert any("1 clients had the treatment and lost it" in problem for problem in chapter.problems)


def test_clients_who_are_back_before_the_rollback_is_written_are_the_story() -> None:
    chapter = Chapter(ALL)
    walk(chapter, "one-click-checkout", [50, 300, 900])
    walk(chapter, "one-click-checkout", [50, 300, 900], dropped=4, first_dropped_at=at(6))
    chapter.look(taken_back(decided=5, first_dropped_at=at(6)))
    assert chapter.problems == []


def test_a_client_who_drops_out_before_the_rollback_is_noticed_after_it_too() -> None:
    chapter = Chapter(ALL)
    walk(chapter, "one-click-checkout", [50, 300, 900])
    chapter.look(taken_back(decided=5, first_dropped_at=at(4)))
    assert any("lost it while the rollout grew" in problem for problem in chapter.problems)


def test_a_broken_feature_that_is_taken_back_soon_is_the_story() -> None:
    chapter = Chapter(ALL)
    walk(chapter, "one-click-checkout", [50, 300, 900])
    chapter.look(taken_back())
    chapter.end_taken_back(taken_back(), steps=3, fault_at=at(0))
    assert chapter.problems == []


@pytest.mark.parametrize(
    ("sight", "problem"),
    [
        (taken_back(decided=30, last=30), "decided 30.0 s after the fault, not within 20 s"),
        (taken_back(decided=-1, last=0), "decided -1.0 s after the fault"),
        (taken_back(inside=3), "3 clients still have the treatment"),
        (taken_back(last=12), "until 7.0 s after the decision"),
        (Sight(Clients(), in_step("one-click-checkout", 2, 900)), "was to be rolled back, but is Progressing"),
    ],
    ids=["late", "before the fault", "not from everybody", "late at the clients", "never"],
)
def test_a_broken_feature_that_is_not_taken_back_as_promised_is_not_the_story(sight: Sight, problem: str) -> None:
    chapter = Chapter(ALL)
    walk(chapter, "one-click-checkout", [50, 300, 900])
    chapter.end_taken_back(sight, steps=3, fault_at=at(0))
    assert any(problem in found for found in chapter.problems)


def test_decisions_are_told_once_and_in_order() -> None:
    chapter = Chapter(ALL)
    entry = {"time": wire(0), "action": "Start", "reason": "r", "message": "m"}
    history = [{**entry, "sequence": 1}, {**entry, "sequence": 2}]
    chapter.look(Sight(Clients(), rollout("semantic-search", history=history[:1])))
    assert [told.sequence for told in chapter.take_news()] == [1]
    chapter.look(Sight(Clients(), rollout("semantic-search", history=history)))
    assert [told.sequence for told in chapter.take_news()] == [2]


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (StoryError("nobody came"), 1, "The story did not happen: nobody came"),
        (PartEndedError("shop", 3, "boom"), 1, "The story did not happen: shop ended with status 3"),
        (SetupError("no Go"), 2, "The demo could not begin: no Go"),
        (KeyboardInterrupt(), 130, "Interrupted"),
    ],
)
def test_the_exit_status_tells_why_a_demo_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, status: int, text: str
) -> None:
    def fail(*_: object) -> Stage:
        raise error

    monkeypatch.setattr(demo, "set_up", fail)
    monkeypatch.setattr(demo, "make_screen", Screen)
    assert demo.run(Path("unused.html")) == status
    assert text in capsys.readouterr().err
