"""What helm makes of the chart: objects that fit each other, the definitions of crds/, a certificate that works."""

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from testbed.chart import manifests, objects, render
from tests.cluster.chart_values import EVERYTHING, container, deployment, of_kind

ROOT = Path(__file__).parents[2]

Rendered = list[dict[str, Any]]


@pytest.fixture(scope="module", params=[{}, EVERYTHING], ids=["default", "everything"])
def rendered(request: pytest.FixtureRequest, helm: Path) -> Rendered:
    return objects(render(helm, request.param))


def test_the_definitions_are_those_of_crds(helm: Path) -> None:
    wanted = {crd["metadata"]["name"]: crd for crd in map(_read, (ROOT / "crds").glob("*.yaml"))}
    rendered = {crd["metadata"]["name"]: crd for crd in _definitions(helm, {})}
    assert rendered.keys() == wanted.keys() != set()
    for name, crd in rendered.items():
        assert crd["spec"] == wanted[name]["spec"]
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_definitions_can_be_left_out_and_can_go_with_the_release(helm: Path) -> None:
    assert _definitions(helm, {"install": False}) == []
    going = _definitions(helm, {"keep": False})
    assert going
    assert not [crd for crd in going if "annotations" in crd["metadata"]]


def test_the_manifests_for_people_without_helm_are_current(helm: Path) -> None:
    for path, text in manifests(helm).items():
        assert path.read_text() == text, f"{path.name} is old: run `python -m testbed.chart`"


def test_services_budgets_and_policies_find_the_pods_that_they_are_for(rendered: Rendered) -> None:
    pods = {found["metadata"]["name"]: found["spec"]["template"] for found in of_kind(rendered, "Deployment")}
    selectors = {
        "Deployment": lambda spec: spec["selector"]["matchLabels"],
        "Service": lambda spec: spec["selector"],
        "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
        "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
    }
    for found in rendered:
        if selector := selectors.get(found["kind"]):
            chosen = selector(found["spec"]).items()
            matching = [name for name, pod in pods.items() if chosen <= pod["metadata"]["labels"].items()]
            assert matching == [found["metadata"]["name"].removesuffix("-replicas")], found["kind"]


@pytest.mark.parametrize("component", ["operator", "flags"])
def test_probes_services_and_policies_name_ports_that_the_container_has(rendered: Rendered, component: str) -> None:
    pod = container(rendered, component)
    ports = {port["name"] for port in pod["ports"]}
    assert {pod[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} <= ports
    named = deployment(rendered, component)["metadata"]["name"]
    services = [found for found in of_kind(rendered, "Service") if found["metadata"]["name"].startswith(named)]
    assert {port["targetPort"] for service in services for port in service["spec"]["ports"]} == ports
    for policy in of_kind(rendered, "NetworkPolicy"):
        if policy["metadata"]["name"] == named:
            assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} == ports


def test_pods_spread_over_nodes_and_zones_among_their_own_kind(rendered: Rendered) -> None:
    for component in ("operator", "flags"):
        template = deployment(rendered, component)["spec"]["template"]
        spreads = template["spec"]["topologySpreadConstraints"]
        assert [spread["topologyKey"] for spread in spreads] == [
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        ]
        labels = deployment(rendered, component)["spec"]["selector"]
        assert all(spread["labelSelector"] == labels for spread in spreads)


def test_the_operator_gets_of_the_certificate_only_what_is_public(rendered: Rendered) -> None:
    volumes = deployment(rendered, "operator")["spec"]["template"]["spec"]["volumes"]
    assert not [volume for volume in volumes if "secret" in volume]
    [sources] = [volume["projected"]["sources"] for volume in volumes if volume["name"] == "flags"]
    [secret] = [source["secret"] for source in sources if "secret" in source]
    assert secret["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
    [token] = [source["serviceAccountToken"] for source in sources if "serviceAccountToken" in source]
    assert token["audience"] == "pilotage-flags"


def test_the_operator_asks_every_replica_of_the_flag_service(rendered: Rendered) -> None:
    host, port = _flag_service_address(rendered)
    [service] = [found for found in of_kind(rendered, "Service") if host.startswith(f"{found['metadata']['name']}.")]
    assert host == f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    assert service["spec"]["clusterIP"] == "None"
    # Without an address of its own, a Service's ports are those of the pods.
    assert port in [each["containerPort"] for each in container(rendered, "flags")["ports"] if each["name"] == "grpc"]


@pytest.mark.parametrize(
    ("file", "replicas", "volume", "strategy"),
    [
        ({"claim": "decisions"}, 2, {"persistentVolumeClaim": {"claimName": "decisions"}}, None),
        ({"claim": "decisions"}, 1, {"persistentVolumeClaim": {"claimName": "decisions"}}, {"type": "Recreate"}),
        ({"maxMebibytes": 8, "keep": 3}, 2, {"emptyDir": {"sizeLimit": "40Mi"}}, None),
        ({"maxMebibytes": 0}, 1, {"emptyDir": {}}, None),
    ],
)
def test_the_record_is_on_the_claim_or_lasts_as_long_as_the_pod(
    helm: Path, file: dict[str, Any], replicas: int, volume: dict[str, Any], strategy: dict[str, Any] | None
) -> None:
    values = {"record": {"file": {"enabled": True, **file}}, "operator": {"replicas": replicas}}
    rendered = objects(render(helm, values))
    found = deployment(rendered, "operator")["spec"]
    assert {"name": "record", **volume} in found["template"]["spec"]["volumes"]
    assert found.get("strategy") == strategy
    assert found["template"]["spec"]["securityContext"].get("fsGroup") == (65532 if "claim" in file else None)
    mounted = {mount["mountPath"] for mount in container(rendered, "operator")["volumeMounts"]}
    [path] = [each for each in container(rendered, "operator")["args"] if each.startswith("--record=")]
    assert str(Path(path.removeprefix("--record=")).parent) in mounted


def test_without_a_record_file_nothing_of_it_is_rendered(helm: Path) -> None:
    operator = deployment(objects(render(helm, {})), "operator")
    assert "record" not in str(operator)


def test_the_certificate_that_the_chart_makes_is_good_for_the_flag_services_names(helm: Path) -> None:
    rendered = objects(render(helm, namespace="elsewhere"))
    [secret] = of_kind(rendered, "Secret")
    files = {name: base64.b64decode(value) for name, value in secret["data"].items()}
    host, _ = _flag_service_address(rendered)
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(files["tls.key"], files["tls.crt"])]))
    server.start()
    try:
        assert _connects(port, files["ca.crt"], "pilotage-flags.elsewhere.svc")
        assert _connects(port, files["ca.crt"], host)
        assert not _connects(port, files["ca.crt"], "pilotage-flags.other.svc")
    finally:
        server.stop(None).wait()


def test_a_certificate_of_ones_own_is_mounted_and_none_is_made(helm: Path) -> None:
    rendered = objects(render(helm, {"flagService": {"tls": {"secretName": "own"}}}))
    assert of_kind(rendered, "Secret") == []
    volumes = deployment(rendered, "flags")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "tls", "secret": {"secretName": "own"}} in volumes


def _read(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text())
    assert isinstance(found, dict)
    return found


def _definitions(helm: Path, values: dict[str, Any]) -> Rendered:
    return of_kind(objects(render(helm, {"crds": values})), "CustomResourceDefinition")


def _flag_service_address(rendered: Rendered) -> tuple[str, int]:
    arguments = container(rendered, "operator")["args"]
    [address] = [argument.split("=", 1)[1] for argument in arguments if argument.startswith("--flag-service=")]
    host, port = address.rsplit(":", 1)
    return host, int(port)


def _connects(port: int, ca: bytes, host: str) -> bool:
    """Whether a client that trusts this CA shakes hands with the server by this name."""
    credentials = grpc.ssl_channel_credentials(ca)
    options = [("grpc.ssl_target_name_override", host)]
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=2)
        except grpc.FutureTimeoutError:
            return False
        return True
