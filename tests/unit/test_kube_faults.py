"""The client when the server misbehaves: every fault is a KubeError, and none takes longer than its deadline."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientTimeout, web

from pilotage.kube import Kube, KubeError, _Request

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def client_of(handler: Handler, tmp_path: Path) -> AsyncIterator[Kube]:
    """A client of a server that answers every request with this handler."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with await Kube.connect(kubeconfig(tmp_path, f"http://127.0.0.1:{runner.addresses[0][1]}")) as kube:
            yield kube
    finally:
        await runner.cleanup()


def kubeconfig(folder: Path, server: str) -> Path:
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(config))
    return path


def status(code: int, reason: str, **headers: str) -> web.Response:
    return web.json_response({"kind": "Status", "reason": reason, "message": "told"}, status=code, headers={**headers})


async def test_a_refusal_carries_status_reason_and_what_was_said(tmp_path: Path) -> None:
    async def refuse(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer secret"
        return status(409, "Conflict")

    async with client_of(refuse, tmp_path) as kube:
        with pytest.raises(KubeError) as caught:
            await kube.replace("/a", {})
    error = caught.value
    assert (error.status, error.reason, error.detail) == (409, "Conflict", "told")
    assert str(error) == "the API server answered 409 Conflict for /a"


async def test_a_password_of_the_home_folder_does_not_stop_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"said": request.headers["Authorization"]})

    async with client_of(answer, tmp_path) as kube:
        assert await kube.get("/a") == {"said": "Bearer secret"}


@pytest.mark.parametrize(("not_for", "through"), [("", True), ("kube.example.com", False)])
async def test_the_environments_proxy_is_used_but_where_it_is_told_not_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, not_for: str, *, through: bool
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"asked": request.headers["Host"]})

    async with client_of(answer, tmp_path) as proxy:
        monkeypatch.setenv("http_proxy", proxy.configuration.host)
        monkeypatch.setenv("no_proxy", not_for)
        (tmp_path / "other").mkdir()
        async with await Kube.connect(kubeconfig(tmp_path / "other", "http://kube.example.com:1")) as kube:
            if through:
                assert await kube.get("/a") == {"asked": "kube.example.com:1"}
            assert (kube.configuration.proxy is not None) == through


async def test_a_request_to_come_later_says_when(tmp_path: Path) -> None:
    async def later(_: web.Request) -> web.Response:
        return status(429, "TooManyRequests", **{"Retry-After": "7"})

    async with client_of(later, tmp_path) as kube:
        with pytest.raises(KubeError) as caught:
            await kube.get("/a")
    assert caught.value.retry_after_seconds == 7.0


@pytest.mark.parametrize("body", ["<html>proxy</html>", "[]", ""])
async def test_an_error_page_of_something_else_is_an_error_too(tmp_path: Path, body: str) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(status=502, text=body)

    async with client_of(page, tmp_path) as kube:
        with pytest.raises(KubeError) as caught:
            await kube.get("/a")
    assert (caught.value.status, caught.value.reason) == (502, "Refused")


async def test_an_answer_that_is_no_json_is_an_error(tmp_path: Path) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>login</html>")

    async with client_of(page, tmp_path) as kube:
        with pytest.raises(KubeError) as caught:
            await kube.get("/a")
    assert (caught.value.status, caught.value.reason) == (0, "Unreadable")


async def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        raise AssertionError

    async with client_of(hang, tmp_path) as kube:
        with pytest.raises(KubeError) as caught:
            await kube._call(_Request("GET", "/a", limits=ClientTimeout(total=0.2)))
    assert (caught.value.status, caught.value.reason) == (0, "Timeout")


async def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    async with await Kube.connect(kubeconfig(tmp_path, "http://127.0.0.1:9")) as kube:
        with pytest.raises(KubeError) as caught:
            await kube.get("/a")
    assert (caught.value.status, caught.value.reason) == (0, "Unreachable")


async def test_a_watch_that_is_told_to_list_again_says_so(tmp_path: Path) -> None:
    async def expire(request: web.Request) -> web.StreamResponse:
        assert request.query["allowWatchBookmarks"] == request.query["watch"] == "true"
        response = web.StreamResponse()
        await response.prepare(request)
        for event in (
            {"type": "ADDED", "object": {"metadata": {"name": "a"}}},
            {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}},
        ):
            await response.write(json.dumps(event).encode() + b"\n")
        return response

    async with client_of(expire, tmp_path) as kube:
        events = kube.watch("/a")
        assert (await anext(events))["type"] == "ADDED"
        with pytest.raises(KubeError) as caught:
            await anext(events)
    assert (caught.value.status, caught.value.reason) == (410, "Expired")


async def test_a_watch_whose_connection_breaks_is_an_error_and_one_that_ends_is_not(tmp_path: Path) -> None:
    async def end(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type": "BOOKMARK", "object": {}}\n')
        if request.path == "/break":
            assert request.transport
            request.transport.close()
        return response

    async with client_of(end, tmp_path) as kube:
        assert [event["type"] async for event in kube.watch("/end")] == ["BOOKMARK"]
        with pytest.raises(KubeError) as caught:
            assert [event async for event in kube.watch("/break")]
    assert caught.value.status == 0


async def test_hundreds_of_watches_leave_room_for_requests(tmp_path: Path) -> None:
    open_watches: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"kind": "ConfigMap"})
        response = web.StreamResponse()
        await response.prepare(request)
        open_watches.append(request.path)
        await response.write(b'{"type": "BOOKMARK", "object": {}}\n')
        await asyncio.sleep(60)
        return response

    async with client_of(serve, tmp_path) as kube:
        watches = [kube.watch(f"/namespaces/{number}/configmaps") for number in range(250)]
        await asyncio.gather(*(anext(watch) for watch in watches))
        async with asyncio.timeout(5):
            assert await kube.get("/a") == {"kind": "ConfigMap"}
        assert len(open_watches) == 250
        for watch in watches:
            await watch.aclose()  # type: ignore[attr-defined]


async def test_without_a_configuration_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(KubeError) as caught:
        await Kube.connect(tmp_path / "nowhere")
    assert (caught.value.status, caught.value.reason) == (0, "NoConfiguration")
