"""The directory of users: what can be wrong with it is said with the place and the remedy."""

from typing import cast

import pytest

from pilotage.controller.directory import DirectoryError, read_directory, read_users
from pilotage.kube import Kube, KubeError
from tests.unit.controller_world import FaultyKube

PATH = "/api/v1/namespaces/shop/configmaps/users"


def test_users_have_a_key_and_attributes() -> None:
    anna, ben = read_users('[{"key": "anna", "orders": 12, "vip": true}, {"key": "ben"}]')
    assert (anna.key, dict(anna.attributes)) == ("anna", {"orders": 12, "vip": True})
    assert (ben.key, dict(ben.attributes)) == ("ben", {})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("", "is not JSON: write an array"),
        ("[" * 100_000, "is not JSON"),
        ('{"key": "anna"}', "is not an array"),
        ('[{"name": "anna"}]', "[0].key: must be a text"),
        ('[{"key": "anna"}, {"key": 7}]', "[1].key: must be a text"),
        ('[{"key": ""}]', "of 1 to 128 characters"),
        ('["anna"]', "[0].key: must be a text"),
        ('[{"key": "anna"}, {"key": "ben"}, {"key": "anna"}]', "[2].key: 'anna' is listed twice"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(document: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read_users(document)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (KubeError(404, "NotFound"), "there is no ConfigMap users in namespace shop: create it"),
        (KubeError(403, "Forbidden"), "enrol the namespace shop"),
        (KubeError(0, "Timeout"), "can't be read now: Timeout"),
    ],
)
async def test_why_it_can_not_be_read_is_said_with_the_remedy(failure: KubeError, said: str) -> None:
    with pytest.raises(DirectoryError) as caught:
        await read_directory(cast("Kube", FaultyKube(failures=[failure])), "shop", "users")
    assert str(caught.value).startswith("spec.audience.directory.configMap: ")
    assert said in str(caught.value)


@pytest.mark.parametrize("data", [{}, {"data": {}}, {"data": {"users.yaml": "[]"}}])
async def test_a_config_map_without_the_key_is_no_directory(data: dict[str, object]) -> None:
    with pytest.raises(DirectoryError, match=r"has no key users\.json: add it"):
        await read_directory(cast("Kube", FaultyKube(objects={PATH: data})), "shop", "users")
