"""The chart starts the program that there is: arguments, files, variables, user and probes are those of the code."""

import re
from pathlib import Path
from typing import Any

import pytest

from pilotage.cli.main import _parser
from pilotage.resources.base import GROUP
from pilotage.resources.crd import KINDS
from testbed.chart import objects, render
from testbed.install import FLAGS, OPERATOR
from tests.cluster.chart_values import EVERYTHING, container, deployment

ROOT = Path(__file__).parents[2]
COMPONENTS = ("operator", "flags")

Rendered = list[dict[str, Any]]


@pytest.fixture(scope="module", params=[{}, EVERYTHING], ids=["default", "everything"])
def rendered(request: pytest.FixtureRequest, helm: Path) -> Rendered:
    return objects(render(helm, request.param))


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_command_line_takes_the_arguments(rendered: Rendered, component: str) -> None:
    parsed = _parser().parse_args(container(rendered, component)["args"])
    listening = {port["name"]: port["containerPort"] for port in container(rendered, component)["ports"]}
    assert (parsed.http_host, parsed.http_port) == ("0.0.0.0", listening["http"])
    assert parsed.log_level in ("info", "debug")
    if component == "flags":
        assert (parsed.host, parsed.port) == ("0.0.0.0", listening["grpc"])


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_option_that_names_a_file_names_one_that_is_mounted(rendered: Rendered, component: str) -> None:
    pod = deployment(rendered, component)["spec"]["template"]["spec"]
    paths = re.findall(r"=(/\S+)", "\n".join(container(rendered, component)["args"]))
    assert paths
    for path in paths:
        [mount] = [
            each for each in container(rendered, component)["volumeMounts"] if path.startswith(each["mountPath"])
        ]
        [volume] = [each for each in pod["volumes"] if each["name"] == mount["name"]]
        if volume["name"] == "record":
            assert "readOnly" not in mount, "the operator makes this file itself"
            continue
        assert path.removeprefix(f"{mount['mountPath']}/") in _files(volume)


def _files(volume: dict[str, Any]) -> set[str]:
    if "secret" in volume:
        return {"tls.crt", "tls.key", "ca.crt"}  # all of a Secret of type kubernetes.io/tls
    sources = volume["projected"]["sources"]
    items = {item["path"] for source in sources for item in source.get("secret", {}).get("items", [])}
    return items | {source["serviceAccountToken"]["path"] for source in sources if "serviceAccountToken" in source}


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_variable_in_the_arguments_is_set(rendered: Rendered, component: str) -> None:
    used = set(re.findall(r"\$\((\w+)\)", "\n".join(container(rendered, component)["args"])))
    variables = {variable["name"] for variable in container(rendered, component)["env"]}
    assert used <= variables


def test_the_lease_that_the_operator_is_told_to_take_is_the_one_that_it_may_take(rendered: Rendered) -> None:
    parsed = _parser().parse_args(container(rendered, "operator")["args"])
    roles = [found for found in rendered if found["kind"] == "Role"]
    [role] = [found for found in roles if any("leases" in rule["resources"] for rule in found["rules"])]
    assert parsed.lease_namespace == role["metadata"]["namespace"]
    assert [rule["resourceNames"] for rule in role["rules"] if "resourceNames" in rule] == [[parsed.lease_name]]


def test_the_limit_on_turns_reaches_the_operator(helm: Path) -> None:
    for values, limit in (({}, 0), (EVERYTHING, 20)):
        arguments = container(objects(render(helm, values)), "operator")["args"]
        assert _parser().parse_args(arguments).max_advancing == limit


def test_the_flag_service_knows_the_operator_by_its_serviceaccount(rendered: Rendered) -> None:
    parsed = _parser().parse_args(container(rendered, "flags")["args"])
    namespace = deployment(rendered, "operator")["metadata"]["namespace"]
    account = deployment(rendered, "operator")["spec"]["template"]["spec"]["serviceAccountName"]
    assert parsed.operator_service_account == f"{namespace}:{account}"


def test_the_testbed_installs_the_accounts_that_the_pods_run_as(helm: Path) -> None:
    rendered = objects(render(helm))
    accounts = [
        deployment(rendered, component)["spec"]["template"]["spec"]["serviceAccountName"] for component in COMPONENTS
    ]
    assert accounts == [OPERATOR, FLAGS]


def test_pods_run_as_the_user_of_the_image(rendered: Rendered) -> None:
    [user] = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "operator" / "Dockerfile").read_text(), re.MULTILINE)
    for component in COMPONENTS:
        security = deployment(rendered, component)["spec"]["template"]["spec"]["securityContext"]
        assert (str(security["runAsUser"]), str(security["runAsGroup"])) == user


def test_the_image_holds_what_its_recipe_copies() -> None:
    recipe = (ROOT / "operator" / "Dockerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", recipe, re.MULTILINE) for name in line.split()]
    allowed = (ROOT / "operator" / "Dockerfile.dockerignore").read_text().splitlines()
    assert copied
    assert {f"!{name}" for name in copied} == {line for line in allowed if line.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)


def test_the_operator_may_read_the_definitions_that_it_waits_for(rendered: Rendered) -> None:
    [role] = [
        found
        for found in rendered
        if found["kind"] == "ClusterRole" and found["metadata"]["name"].endswith("-operator")
    ]
    [names] = [rule["resourceNames"] for rule in role["rules"] if rule["resources"] == ["customresourcedefinitions"]]
    assert sorted(names) == sorted(f"{kind.plural}.{GROUP}" for kind in KINDS)
