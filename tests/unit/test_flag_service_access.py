"""Who may have which flags."""

from typing import Any

import pytest

from pilotage.flags import access
from pilotage.flags.access import (
    Caller,
    ForbiddenError,
    InvalidSelectorError,
    Reviewer,
    ReviewFailedError,
    UnauthenticatedError,
    namespace_for,
)
from pilotage.kube import KubeError

SHOP = Caller("shop")
OPERATOR = Caller("pilotage-system", reads_all=True)


@pytest.mark.parametrize("selector", ["", "shop", "flagSetId=shop", " flagSetId=shop "])
def test_a_caller_gets_the_flags_of_its_namespace(selector: str) -> None:
    assert namespace_for(SHOP, selector) == "shop"


def test_another_namespace_is_forbidden_but_for_the_operator() -> None:
    with pytest.raises(ForbiddenError, match="ask for flagSetId=shop"):
        namespace_for(SHOP, "flagSetId=bank")
    assert namespace_for(OPERATOR, "flagSetId=bank") == "bank"


@pytest.mark.parametrize(
    "selector", ["source=x", "../kube-system", "Shop", "a" * 64, "shop/", "shop?x", "-", "flagSetId=a,b"]
)
def test_a_selector_that_names_no_namespace_is_refused(selector: str) -> None:
    with pytest.raises(InvalidSelectorError, match="flagSetId=<namespace>"):
        namespace_for(OPERATOR, selector)


def test_who_is_nobody_must_name_a_namespace() -> None:
    with pytest.raises(InvalidSelectorError, match="name a namespace"):
        namespace_for(Caller("", reads_all=True), "")


class Api:
    """Answers TokenReviews as scripted: the real API server can't be made to fail or to ignore audiences."""

    def __init__(self, **status: Any) -> None:
        self.status: dict[str, Any] | KubeError = {
            "authenticated": True,
            "audiences": ["pilotage-flags"],
            "user": {"username": "system:serviceaccount:shop:app"},
            **status,
        }
        self.asked = 0

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path.endswith("/tokenreviews")
        assert body["spec"]["audiences"] == ["pilotage-flags"]
        self.asked += 1
        if isinstance(self.status, KubeError):
            raise self.status
        return {"status": self.status}


def reviewer(api: Api, **options: Any) -> Reviewer:
    return Reviewer(api, **options)  # type: ignore[arg-type]  # all of Kube that it uses


async def test_an_answer_is_good_for_a_minute() -> None:
    seconds, api = 0.0, Api()
    proving = reviewer(api, monotonic=lambda: seconds)
    assert await proving.review("token") == SHOP
    seconds = 59.9
    assert await proving.review("token") == SHOP
    assert api.asked == 1
    seconds, api.status = 60.0, {"authenticated": False}
    with pytest.raises(UnauthenticatedError):
        await proving.review("token")
    assert api.asked == 2


async def test_the_operator_is_known_by_its_service_account() -> None:
    assert (await reviewer(Api(), operator="shop:app").review("t")).reads_all
    assert not (await reviewer(Api(), operator="shop:other").review("t")).reads_all
    assert not (await reviewer(Api(), operator="").review("t")).reads_all


@pytest.mark.parametrize(
    "status",
    [
        {"authenticated": False},
        {"audiences": []},
        {"audiences": ["https://kubernetes.default.svc"]},
        {"user": {"username": "alice"}},
        {"user": {"username": "system:serviceaccount:shop:app:more"}},
        {"user": None},
    ],
)
async def test_whoever_is_no_service_account_with_our_audience_is_refused(status: dict[str, Any]) -> None:
    with pytest.raises(UnauthenticatedError, match="the audience pilotage-flags"):
        await reviewer(Api(**status)).review("token")


async def test_that_nobody_can_be_asked_is_no_refusal_and_is_not_remembered() -> None:
    api = Api()
    fine, api.status = api.status, KubeError(0, "Unreachable")
    proving = reviewer(api)
    with pytest.raises(ReviewFailedError):
        await proving.review("token")
    api.status = fine
    assert await proving.review("token") == SHOP


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "CACHE_LIMIT", 3)
    api = Api()
    proving = reviewer(api)
    for number in range(5):
        await proving.review(f"token-{number}")
    assert len(proving._known) == 3
    await proving.review("token-4")
    assert api.asked == 5
