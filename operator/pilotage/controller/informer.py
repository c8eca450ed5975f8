"""kopf as the informer: it lists and watches our kinds and hands every object on. It decides and writes nothing.

Only `on.event` handlers are registered: with any other kind of handler kopf would write annotations or finalizers, and
its null storages (see `kopf_settings.py`) would be wrong.

kopf runs in a thread with an event loop of its own. When `kopf.operator` ends, it cancels every task of its loop that
is younger than itself, and it takes SIGTERM for itself: in a loop of its own, neither hurts the workers. When it fails
(a watch that the API server answers with an error ends the whole operator), it is started again, after a pause.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, cast

import kopf

from pilotage.controller.clock import Clock
from pilotage.controller.kopf_settings import LONGEST_PAUSE_SECONDS, EndlessBackoff, build_settings
from pilotage.controller.listing import KINDS, Sink
from pilotage.kube import Kube
from pilotage.resources.base import GROUP, VERSION

_LOG = logging.getLogger(__name__)
_EXIT_SECONDS = 10.0


class Informer:
    """Watches for ever.

    Args:
        kube: whose credentials to use.
        clock: what time it is.
        sink: called in the caller's event loop with every event.
    """

    def __init__(self, kube: Kube, clock: Clock, sink: Sink) -> None:
        self._kube = kube
        self._clock = clock
        self._sink = sink
        self.running = False
        self.on_restart: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """Keep kopf going until cancelled."""
        pauses = iter(EndlessBackoff())
        while True:
            began_at = self._clock.monotonic()
            try:
                await self._run_once()
            except Exception as error:  # noqa: BLE001 - whatever ends kopf, it is started again
                _LOG.warning("the informer has ended: %r", error)
            finally:
                self.running = False
            if self._clock.monotonic() - began_at > LONGEST_PAUSE_SECONDS:
                pauses = iter(EndlessBackoff())
            await self._clock.sleep(next(pauses))
            self.on_restart()

    async def _run_once(self) -> None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        settings = build_settings()
        handover = _Handover(loop, self._sink)
        session = _Session(self._kube, settings, handover.put, lambda: _call(loop, self._started))

        def serve() -> None:
            error: Exception | None = None
            try:
                asyncio.run(session.run())
            except Exception as caught:  # noqa: BLE001 - it is handed over
                error = caught
            _call(loop, _settle, ended, error)

        thread = threading.Thread(target=serve, name="informer", daemon=True)
        thread.start()
        try:
            await asyncio.shield(ended)
        finally:
            session.stop()
            await asyncio.wait([ended], timeout=_EXIT_SECONDS)
            if ended.done() and not ended.cancelled():
                ended.exception()  # it was raised above, or nobody wants to know any more

    def _started(self) -> None:
        self.running = True


class _Handover:
    """Brings events from kopf's loop to ours, as many at once as one turn of kopf's loop has brought.

    Each one alone would have both threads change places: that was a fifth of the time that 10,000 took to list.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, sink: Sink) -> None:
        self._loop = loop
        self._sink = sink
        self._waiting: list[tuple[str, str | None, dict[str, Any]]] = []

    def put(self, plural: str, kind: str | None, body: dict[str, Any]) -> None:
        """Take an event; called in kopf's loop."""
        self._waiting.append((plural, kind, body))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._hand_over)

    def _hand_over(self) -> None:
        events, self._waiting = self._waiting, []
        _call(self._loop, self._spread, events)

    def _spread(self, events: list[tuple[str, str | None, dict[str, Any]]]) -> None:
        for event in events:  # a turn for each: one that fails stops no other
            self._loop.call_soon(self._sink, *event)


class _Session:
    """One life of `kopf.operator`, inside its thread."""

    def __init__(self, kube: Kube, settings: kopf.OperatorSettings, sink: Sink, on_ready: Callable[[], None]) -> None:
        self._kube = kube
        self._settings = settings
        self._sink = sink
        self._on_ready = on_ready
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._stopped = False

    async def run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        if self._stopped:
            return
        ready = asyncio.Event()
        notify = asyncio.create_task(self._notify(ready))
        try:
            await kopf.operator(
                registry=build_registry(self._kube, self._sink),
                settings=self._settings,
                identity=cast("Any", "pilotage"),  # else kopf asks for the user's name, and not every user id has one
                clusterwide=True,
                standalone=True,
                stop_flag=self._stop,
                ready_flag=ready,
            )
        finally:
            notify.cancel()

    async def _notify(self, ready: asyncio.Event) -> None:
        await ready.wait()
        self._on_ready()

    def stop(self) -> None:
        """Ask it to end; called from another thread."""
        self._stopped = True
        if self._loop is not None and self._stop is not None:
            _call(self._loop, self._stop.set)


def build_registry(kube: Kube, sink: Sink) -> kopf.OperatorRegistry:
    """The handlers: a login, and one for each kind that passes events on."""
    registry = kopf.OperatorRegistry()

    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await connection_of(kube)

    kopf.on.login(registry=registry)(login)
    for kind in KINDS:
        _watch(registry, kind.plural, sink)
    return registry


def _watch(registry: kopf.OperatorRegistry, plural: str, sink: Sink) -> None:
    async def pass_on(event: Any, **_: Any) -> None:
        sink(plural, event["type"], _take(event["object"]))

    kopf.on.event(GROUP, VERSION, plural, id=f"watch-{plural}", registry=registry)(pass_on)


def _take(body: dict[str, Any]) -> dict[str, Any]:
    """An object without what only its writers need; kopf keeps no more than its metadata.

    kopf leaves each object that it has handled in a cycle of references, to be found by the garbage collector: 10,000
    whole ones were half a gigabyte.
    """
    body["metadata"].pop("managedFields", None)
    taken = dict(body)
    body.pop("spec", None)
    body.pop("status", None)
    return taken


async def connection_of(kube: Kube) -> kopf.ConnectionInfo:
    """The same credentials that our own client has; asked again when the API server refuses them (a renewed token)."""
    configuration = kube.configuration
    bearer = (await configuration.auth_settings()).get("BearerToken", {}).get("value") or ""
    scheme, _, token = bearer.partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        scheme=scheme.capitalize() or None,
        token=token.strip() or None,
        proxy_url=configuration.proxy,
    )


def _settle(ended: "asyncio.Future[None]", error: Exception | None) -> None:
    if ended.done():
        return
    if error is None:
        ended.set_result(None)
    else:
        ended.set_exception(error)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
    """Call in another thread's loop; if that has ended, nobody wants to know any more."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, *arguments)
