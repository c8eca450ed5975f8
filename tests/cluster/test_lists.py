"""Lists of many objects from a real API server: as a stream, and in chunks where it can't begin a watch with a list."""

from collections.abc import AsyncIterator, Iterator

import pytest

from pilotage.kube import Kube, KubeError
from pilotage.kube_lists import list_objects, list_versions, streams_lists
from testbed import Cluster, start_cluster, wait_until

pytestmark = pytest.mark.cluster("etcd", "kube-apiserver", "kubectl")

PATH = "/api/v1/namespaces/default/configmaps"
NAMES = [f"one-{number}" for number in range(5)]
MISSING = "/apis/example.com/v1/namespaces/default/things"


@pytest.fixture(scope="module", params=[True, False], ids=["streams", "chunks"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Cluster, bool]]:
    """An API server that streams lists, and one that does not."""
    gate = f"--feature-gates=WatchList={str(request.param).lower()}"
    with start_cluster(("etcd", "kube-apiserver"), nodes=0, apiserver_flags=[gate]) as cluster:
        wait_until(lambda: cluster.kubectl("get", "namespace", "default"), "the namespace that the API server makes")
        yield cluster, request.param


@pytest.fixture
async def kube(server: tuple[Cluster, bool]) -> AsyncIterator[Kube]:
    async with await Kube.connect(server[0].kubeconfig) as kube:
        for name in NAMES:
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"of": name}}
            await kube.patch(f"{PATH}/{name}", body, content_type="apply", field_manager="test")
        yield kube


async def test_it_is_known_whether_lists_are_streamed(server: tuple[Cluster, bool], kube: Kube) -> None:
    assert await streams_lists(kube, PATH) == server[1]


async def test_all_objects_come_whole_and_once(kube: Kube) -> None:
    found = [body async for body in list_objects(kube, PATH, chunk=2)]
    assert sorted(body["metadata"]["name"] for body in found) == NAMES
    for body in found:
        assert body["data"] == {"of": body["metadata"]["name"]}


async def test_versions_are_those_of_all_objects_and_of_the_list(kube: Kube) -> None:
    version, found = await list_versions(kube, PATH, chunk=2)
    expected = {}
    for name in NAMES:
        body = await kube.get(f"{PATH}/{name}")
        expected["default", name] = int(body["metadata"]["resourceVersion"])
    assert found == expected
    assert version >= max(found.values())


async def test_of_nothing_there_is_an_empty_list(kube: Kube) -> None:
    path = "/api/v1/namespaces/kube-public/secrets"
    version, found = await list_versions(kube, path)
    assert found == {}
    assert version > 0
    assert [body async for body in list_objects(kube, path)] == []


async def test_what_is_not_served_is_an_error_and_no_empty_list(kube: Kube) -> None:
    with pytest.raises(KubeError, match="NotFound"):
        await list_versions(kube, MISSING)
    with pytest.raises(KubeError, match="NotFound"):
        _ = [body async for body in list_objects(kube, MISSING)]
