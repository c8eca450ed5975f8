"""The flag service between a real API server and the real OpenFeature provider: what applications see, and when."""

import json
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError, ProviderNotReadyError
from openfeature.schemas.protobuf.flagd.sync.v1 import sync_pb2, sync_pb2_grpc
from prometheus_client import REGISTRY

from pilotage.delivery.dataplane import FlagServiceClient
from pilotage.delivery.target import DeliveryError, Way
from pilotage.rollout.bucketing import hash_order
from pilotage.rollout.bucketing_probe import PROBE_FLAG
from pilotage.rollout.exposure import SHARE_TOTAL, Exposure
from testbed import Cluster, wait_until
from testbed.install import FLAGS, OPERATOR, Installed
from tests.cluster.flag_world import Application, Service, World, application, with_token

USERS = [f"user-{number:04}" for number in range(2000)]
BASE = Exposure("checkout", "on", "off", "off", seed="7f3a:", revision=1)
ORDER = hash_order(USERS, seed="7f3a:", generation="cbor")


@contextmanager
def serving(world: World, **options: Any) -> Iterator[Service]:
    service = Service(world.background, world.reader, **{"authenticate": False, **options})
    try:
        yield service
    finally:
        service.stop()


@pytest.fixture
def service(world: World) -> Iterator[Service]:
    with serving(world) as running:
        yield running


def users(count: int, revision: int) -> Exposure:
    return replace(BASE, kind="users", enrolled=ORDER[:count], revision=revision)


def fetch(port: int, selector: str, *metadata: tuple[str, str]) -> dict[str, Any]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = sync_pb2_grpc.FlagSyncServiceStub(channel)
        answer = stub.FetchAllFlags(sync_pb2.FetchAllFlagsRequest(selector=selector), metadata=metadata, timeout=10)
    document: dict[str, Any] = json.loads(answer.flag_configuration)
    return document


def refusal(port: int, selector: str, *metadata: tuple[str, str]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        fetch(port, selector, *metadata)
    return caught.value.code().name, caught.value.details()


def test_growing_drops_nobody_and_admits_exactly_the_plan_at_the_application(world: World, service: Service) -> None:
    target = world.target()
    enrolled = ORDER[:50]
    plan = [users(10, 1), users(20, 2), users(50, 3)]
    plan.append(replace(BASE, kind="percent", enrolled=enrolled, share=SHARE_TOTAL * 3 // 10, revision=4))
    plan.append(replace(BASE, kind="full", revision=5))
    exact = [10, 20, 50, None, 2000]
    before: set[str] = set()
    with application(service.port, world.namespace) as app:
        for want, count in zip(plan, exact, strict=True):
            world.run(target.apply(world.place(), want))
            app.wait_for(want.revision)
            admitted = app.admitted(USERS)
            assert before <= admitted
            if count is None:
                assert admitted == set(ORDER[: len(admitted)])  # the lowest buckets, and nobody else
                assert 540 < len(admitted) < 660
            else:
                assert len(admitted) == count
            before = admitted


def test_an_edit_and_a_kill_are_in_effect_within_milliseconds(world: World, service: Service) -> None:
    target = world.target()
    seconds: list[float] = []
    with application(service.port, world.namespace) as app:
        for revision in range(1, 31):
            kill = revision % 2 == 0
            want = replace(BASE, revision=revision) if kill else users(100, revision)
            began = time.monotonic()
            world.run(target.kill([Way(world.place(), want)]) if kill else target.apply(world.place(), want))
            app.wait_for(revision)
            seconds.append(time.monotonic() - began)
            assert app.ask(ORDER[0]).value is not kill
    seconds.sort()
    print(f"write to effect: median {statistics.median(seconds) * 1000:.1f} ms, max {seconds[-1] * 1000:.1f} ms")
    assert statistics.median(seconds) < 0.5


def test_clients_keep_the_last_rules_while_the_service_is_gone_and_catch_up(world: World, service: Service) -> None:
    target = world.target()
    world.run(target.apply(world.place(), users(10, 1)))
    with application(service.port, world.namespace) as app:
        app.wait_for(1)
        service.stop()
        world.run(target.apply(world.place(), users(20, 2)))
        assert len(app.admitted(USERS)) == 10
        service.start()
        app.wait_for(2, seconds=20)
        assert len(app.admitted(USERS)) == 20


def test_while_the_api_server_is_away_the_last_rules_are_served_also_to_new_clients(
    world: World, service: Service, cluster: Cluster
) -> None:
    server = cluster.components.get("kube-apiserver")
    if server is None:
        pytest.skip("this cluster's API server can't be stopped")
    target = world.target()
    world.run(target.apply(world.place(), users(10, 1)))
    with application(service.port, world.namespace) as first:
        first.wait_for(1)
        server.stop()
        try:
            with application(service.port, world.namespace) as late:
                assert len(late.admitted(USERS)) == 10
        finally:
            server.start()
            wait_until(lambda: cluster.kubectl("get", "--raw", "/readyz") == "ok", "the API server")
        world.run(target.apply(world.place(), users(20, 2)))
        first.wait_for(2, seconds=20)


def test_a_broken_entry_does_not_take_the_other_flags_down(world: World, service: Service) -> None:
    world.run(world.target().apply(world.place(), users(10, 1)))
    before = REGISTRY.get_sample_value("pilotage_flags_errors_total", {"kind": "entry"}) or 0
    broken = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "by-hand", "labels": {"pilotage.dev/flags": "true"}},
        "data": {
            "no-json.json": "{",
            "list.json": "[]",
            "odd.json": '{"state": "ON", "variants": {"on": true}}',
            "extra.json": '{"state": "ENABLED", "variants": {"on": true}, "surprise": 1}',
            "nan.json": '{"state": "ENABLED", "variants": {"on": NaN}}',
            "deep.json": '{"state": "ENABLED", "variants": {"on": ' + "[" * 5000 + "]" * 5000 + "}}",
            "fine.json": '{"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"}',
            "README": "not a flag",
        },
    }
    with application(service.port, world.namespace) as app:
        world.cluster.apply(broken, arguments=("--namespace", world.namespace))
        wait_until(lambda: app.ask("anybody", "fine").value, "the flag that is fine", every_seconds=0.01)
        assert len(app.admitted(USERS)) == 10
        for flag in ("no-json", "list", "odd", "extra", "nan", "deep"):
            with pytest.raises(FlagNotFoundError):
                app.ask("anybody", flag)
    assert (REGISTRY.get_sample_value("pilotage_flags_errors_total", {"kind": "entry"}) or 0) == before + 6


def test_a_deleted_config_map_takes_its_flags_along(world: World, service: Service) -> None:
    world.run(world.target().apply(world.place(), users(10, 1)))
    with application(service.port, world.namespace) as app:
        app.wait_for(1)
        world.cluster.kubectl("delete", "configmap", "pilot-flags", "-n", world.namespace)
        wait_until(lambda: _is_unknown(app, "checkout"), "the end of the flag", every_seconds=0.01)


def test_a_slow_client_holds_nobody_up_and_gets_the_newest_in_the_end(world: World, service: Service) -> None:
    target = world.target()
    many = replace(BASE, kind="users", enrolled=tuple(f"{n:0125}" for n in range(2000)))
    small_window = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)]
    with grpc.insecure_channel(f"127.0.0.1:{service.port}", options=small_window) as channel, ExitStack() as stack:
        stub = sync_pb2_grpc.FlagSyncServiceStub(channel)
        slow = stub.SyncFlags(sync_pb2.SyncFlagsRequest(selector=world.namespace))
        next(slow)  # it is connected, and reads no more from now on
        app = stack.enter_context(application(service.port, world.namespace))
        for revision in range(1, 41):
            world.run(target.kill([Way(world.place(), replace(many, revision=revision))]))
            assert app.wait_for(revision) < 2
        seen = [_revision(answer) for answer in _until(slow, 40)]
        assert seen[-1] == 40
        assert len(seen) < 30  # each is of 250 kB: more than the connection buffers, so most were never sent
        slow.cancel()


def _until(answers: Any, revision: int) -> Iterator[Any]:
    for answer in answers:
        yield answer
        if _revision(answer) == revision:
            return


def _revision(answer: sync_pb2.SyncFlagsResponse) -> int | None:
    flag = json.loads(answer.flag_configuration)["flags"].get("checkout")
    return flag["metadata"]["pilotage.revision"] if flag else None


def test_a_namespace_that_is_not_enrolled_is_refused_until_it_is(
    installed: Installed, cluster: Cluster, namespace: str, service: Service
) -> None:
    other = f"{namespace}-b"
    cluster.kubectl("create", "namespace", other)
    try:
        code, text = refusal(service.port, f"flagSetId={other}")
        assert code == "PERMISSION_DENIED"
        assert text == f"namespace {other} is not enrolled: bind ClusterRole pilotage-flags-reader there"
        with pytest.raises(ProviderNotReadyError):
            Application(service.port, other, wait_ms=500)
        installed.enrol(other)
        wait_until(lambda: fetch(service.port, f"flagSetId={other}")["flags"].keys() == {PROBE_FLAG}, "the flags")
        cluster.kubectl("delete", "rolebinding", "pilotage-flags-reader", "-n", other)
    finally:
        cluster.kubectl("delete", "namespace", other, "--wait=false")


def test_a_selector_names_one_namespace(world: World, service: Service) -> None:
    world.run(world.target().apply(world.place(), users(10, 1)))
    for selector in (f"flagSetId={world.namespace}", world.namespace):
        document = fetch(service.port, selector)
        assert document["metadata"] == {"flagSetId": world.namespace}
        assert list(document["flags"]) == ["checkout", PROBE_FLAG]
    assert fetch(service.port, "", ("flagd-selector", world.namespace)) == document
    assert refusal(service.port, "")[0] == "INVALID_ARGUMENT"
    assert refusal(service.port, "source=database")[0] == "INVALID_ARGUMENT"
    assert refusal(service.port, "../../kube-system")[0] == "INVALID_ARGUMENT"


def test_metadata_is_unimplemented_because_an_empty_answer_ends_the_provider(service: Service) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{service.port}") as channel:
        stub = sync_pb2_grpc.FlagSyncServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetMetadata(sync_pb2.GetMetadataRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_an_application_proves_who_it_is_and_gets_its_own_namespace_only(
    installed: Installed, world: World, namespace: str
) -> None:
    world.run(world.target().apply(world.place(), users(10, 1)))
    operator = f"{installed.namespace}:{OPERATOR}"
    with serving(world, authenticate=True, operator=operator) as service:

        def bearer(token: str) -> tuple[str, str]:
            return "authorization", f"Bearer {token}"

        assert refusal(service.port, namespace)[0] == "UNAUTHENTICATED"
        assert refusal(service.port, namespace, bearer("nonsense"))[0] == "UNAUTHENTICATED"
        code, text = refusal(service.port, namespace, bearer(world.token(audience="https://elsewhere")))
        assert (code, "audience pilotage-flags" in text) == ("UNAUTHENTICATED", True)
        code, text = refusal(service.port, "pilotage-system", bearer(world.token()))
        assert (code, f"ask for flagSetId={namespace}" in text) == ("PERMISSION_DENIED", True)
        foreign = world.cluster.kubectl(
            "create", "token", FLAGS, "-n", installed.namespace, "--audience=pilotage-flags"
        ).strip()
        assert refusal(service.port, namespace, bearer(foreign))[0] == "PERMISSION_DENIED"
        assert list(fetch(service.port, "", bearer(world.token()))["flags"]) == ["checkout", PROBE_FLAG]
        asked = fetch(service.port, namespace, bearer(installed.flag_service_token()))
        assert list(asked["flags"]) == ["checkout", PROBE_FLAG]
        with application(service.port, namespace, channel_credentials=with_token(world.token())) as app:
            assert len(app.admitted(USERS)) == 10
        with pytest.raises(ProviderNotReadyError):
            Application(service.port, namespace, wait_ms=500)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A fresh self-signed certificate for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes this test's certificate")
    chain, key = folder / "tls.crt", folder / "tls.key"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command = ["openssl", "req", "-x509", *new, *subject, "-keyout", str(key), "-out", str(chain)]
    subprocess.run(command, check=True, capture_output=True)
    return chain, key


def recipe() -> Callable[..., FlagdProvider]:
    """The function `flag_provider` of docs/flags.md."""
    text = (Path(__file__).parents[2] / "docs" / "flags.md").read_text()
    scope: dict[str, Any] = {}
    exec(text.split("```python\n")[1].split("```")[0], scope)
    made: Callable[..., FlagdProvider] = scope["flag_provider"]
    return made


def test_over_tls_the_provider_sends_its_token_and_a_renewed_certificate_is_taken_up(
    installed: Installed, world: World, tmp_path: Path
) -> None:
    world.run(world.target().apply(world.place(), users(10, 1)))
    chain, key = certificate(tmp_path)
    token_file = tmp_path / "token"
    token_file.write_text(installed.flag_service_token())
    operator = f"{installed.namespace}:{OPERATOR}"
    with serving(world, authenticate=True, tls_cert=chain, tls_key=key, operator=operator) as service:
        with application(service.port, "", selector="", channel_credentials=with_token(world.token(), chain)) as app:
            assert len(app.admitted(USERS)) == 10
        asked = FlagServiceClient(f"127.0.0.1:{service.port}", ca_file=chain, token_file=token_file)
        target = world.target(data_plane=asked)
        assert world.run(target.verify(world.place(), users(10, 1), USERS[:20])).in_force
        app_token = tmp_path / "app-token"
        app_token.write_text(f"{world.token()}\n")
        documented = recipe()("127.0.0.1", service.port, chain, app_token)
        documented.initialize(EvaluationContext())
        assert documented.resolve_boolean_details("checkout", False, EvaluationContext(ORDER[0])).value is True
        documented.shutdown()
        old = with_token(world.token(), chain)
        certificate(tmp_path)
        with pytest.raises(ProviderNotReadyError):
            Application(service.port, world.namespace, channel_credentials=old, wait_ms=500)
        with application(service.port, "", selector="", channel_credentials=with_token(world.token(), chain)) as app:
            assert len(app.admitted(USERS)) == 10
        world.run(asked.close())


def test_verify_asks_every_replica_what_it_serves(installed: Installed, world: World, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("not a token")
    options = {"authenticate": True, "operator": f"{installed.namespace}:{OPERATOR}"}
    with serving(world, host="127.0.0.1", **options) as one:
        asked = FlagServiceClient(f"127.0.0.1:{one.port}", token_file=token_file)
        target = world.target(data_plane=asked)
        with pytest.raises(DeliveryError, match="the flag service refuses to answer: the token is not accepted"):
            world.run(target.verify(world.place(), users(10, 1), USERS[:20]))
        token_file.write_text(installed.flag_service_token() + "\n")
        assert "is not served yet" in world.run(target.verify(world.place(), users(10, 1), USERS[:20])).message
        world.run(target.apply(world.place(), users(10, 1)))
        began = time.monotonic()
        wait_until(
            lambda: world.run(target.verify(world.place(), users(10, 1), USERS[:20])).in_force,
            "the exposure in force",
            every_seconds=0.001,
        )
        print(f"write to verified: {(time.monotonic() - began) * 1000:.1f} ms")
        not_yet = world.run(target.verify(world.place(), users(20, 2), USERS[:20]))
        assert (not_yet.in_force, "at revision 1, not 2" in not_yet.message) == (False, True)
        one.stop()
        with pytest.raises(DeliveryError, match="the flag service can't be reached"):
            world.run(target.verify(world.place(), users(10, 1), USERS[:20]))
        one.start()
        wait_until(lambda: world.run(target.verify(world.place(), users(10, 1), ())).in_force, "the service again")
        world.run(asked.close())


def test_feature_flags_of_people_are_served_too_and_none_stands_in_front_of_a_kill(
    world: World, service: Service, cluster: Cluster
) -> None:
    crd = str(Path(__file__).parent / "data" / "featureflags.yaml")
    world.run(world.target().apply(world.place(), users(10, 1)))
    cluster.kubectl("apply", "-f", crd)
    try:
        cluster.kubectl("wait", "--for=condition=Established", "crd/featureflags.core.openfeature.dev")
        theirs = {
            "apiVersion": "core.openfeature.dev/v1beta1",
            "kind": "FeatureFlag",
            "metadata": {"name": "a-team", "namespace": world.namespace},
            "spec": {"flagSpec": {
                "$evaluators": {"mobile": {"==": [{"var": "device"}, "mobile"]}},
                "metadata": {"team": "a"},
                "flags": {
                    "banner": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off",
                               "targeting": {"if": [{"$ref": "mobile"}, "on", "off"]}},
                    "checkout": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"},
                }}},
        }  # fmt: skip
        wait_until(lambda: bool(cluster.apply(theirs)), "the new kind")
        with application(service.port, world.namespace) as app:
            wait_until(lambda: not _is_unknown(app, "banner"), "the other flag", seconds=70, every_seconds=0.05)
            assert app.ask("u", "banner", device="mobile").value is True
            assert app.ask("u", "banner", device="mobile").flag_metadata["team"] == "a"
            assert app.ask("u", "banner", device="desktop").value is False
            assert len(app.admitted(USERS)) == 10
    finally:
        cluster.kubectl("delete", "-f", crd)


def _is_unknown(app: Application, flag: str) -> bool:
    try:
        app.ask("u", flag)
    except FlagNotFoundError:
        return True
    return False
