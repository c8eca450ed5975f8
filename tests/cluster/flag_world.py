"""What the tests of delivery by flags stand on: the operator's hands, the flag service, and applications.

The hands and the service are coroutines; they run on an event loop of their own thread, because an application's
provider blocks while it waits for the service. Each acts under a ServiceAccount with the rights that it has in reality.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError
from openfeature.flag_evaluation import FlagResolutionDetails

from pilotage.delivery.flags import FlagTarget
from pilotage.delivery.target import Place
from pilotage.flags.service import serve
from pilotage.kube import Kube
from testbed import wait_until
from testbed.install import Installed

T = TypeVar("T")


class Background:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="flag world", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Service:
    """A flag service that can be stopped and started again on the same port."""

    def __init__(self, background: Background, kube: Kube, **options: Any) -> None:
        self._background = background
        self._kube = kube
        self._options = options
        self.port = 0
        self._task: asyncio.Task[None] | None = None
        self.start()

    def start(self) -> None:
        self._background.run(self._start())

    def stop(self) -> None:
        self._background.run(self._stop())

    async def _start(self) -> None:
        listening = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(serve(self._kube, port=self.port, ready=listening.set_result, **self._options))
        await asyncio.wait({self._task, listening}, return_when=asyncio.FIRST_COMPLETED)
        self.port = listening.result() if listening.done() else self._task.result() or 0

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None


class World:
    """One enrolled namespace, and what delivers flags in it: with the chart's rights, and no others."""

    def __init__(self, installed: Installed, namespace: str, background: Background) -> None:
        self.cluster = installed.cluster
        self.installed = installed
        self.namespace = namespace
        self.background = background
        installed.enrol(namespace)
        self.cluster.kubectl("create", "serviceaccount", "app", "-n", namespace)
        self.operator = background.run(Kube.connect(installed.operator_kubeconfig))
        self.reader = background.run(Kube.connect(installed.flags_kubeconfig))

    def target(self, **options: Any) -> FlagTarget:
        return FlagTarget(self.operator, **options)

    def place(self, name: str = "one") -> Place:
        return Place(self.namespace, "pilot-flags", f"pilotage/{name}")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.background.run(work)

    def token(self, account: str = "app", audience: str = "pilotage-flags") -> str:
        return self.cluster.kubectl("create", "token", account, "-n", self.namespace, f"--audience={audience}").strip()

    def config_map(self, name: str = "pilot-flags") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.cluster.kubectl("get", "configmap", name, "-n", self.namespace, "-o", "json", "--show-managed-fields")
        )
        return found

    def definition(self, flag: str = "checkout") -> dict[str, Any]:
        definition: dict[str, Any] = json.loads(self.config_map()["data"][f"{flag}.json"])
        return definition

    def close(self) -> None:
        for kube in (self.operator, self.reader):
            self.run(kube.close())


class Application:
    """An application's view: the real OpenFeature provider, evaluating in-process."""

    def __init__(
        self, port: int, namespace: str, *, selector: str | None = None, wait_ms: int = 10_000, **options: Any
    ) -> None:
        self.provider = FlagdProvider(
            host="127.0.0.1",
            port=port,
            resolver_type=ResolverType.IN_PROCESS,
            selector=f"flagSetId={namespace}" if selector is None else selector,
            deadline_ms=wait_ms,
            retry_backoff_max_ms=200,
            stream_deadline_ms=0,
            **options,
        )
        try:
            self.provider.initialize(EvaluationContext())
        except OpenFeatureError:
            self.provider.shutdown()
            raise

    def ask(self, user: str, flag: str = "checkout", **attributes: Any) -> FlagResolutionDetails[bool]:
        return self.provider.resolve_boolean_details(flag, False, EvaluationContext(user, attributes))

    def admitted(self, users: list[str], flag: str = "checkout", **attributes: Any) -> set[str]:
        return {user for user in users if self.ask(user, flag, **attributes).value}

    def wait_for(self, revision: int, flag: str = "checkout", seconds: float = 10) -> float:
        """How long it takes until this revision is evaluated."""
        began = time.monotonic()

        def arrived() -> bool:
            return self.ask("somebody", flag).flag_metadata.get("pilotage.revision") == revision

        wait_until(arrived, f"revision {revision} at the application", seconds=seconds, every_seconds=0.0005)
        return time.monotonic() - began

    def close(self) -> None:
        self.provider.shutdown()


@contextmanager
def application(port: int, namespace: str, **options: Any) -> Iterator[Application]:
    opened = Application(port, namespace, **options)
    try:
        yield opened
    finally:
        opened.close()


def with_token(token: str, authority: Path | None = None) -> grpc.ChannelCredentials:
    """Credentials for the provider, as docs/flags.md shows them: TLS (plain text on loopback), and the token."""

    def send(_: Any, callback: Callable[[tuple[tuple[str, str]], None], None]) -> None:
        callback((("authorization", f"Bearer {token}"),), None)

    channel = grpc.ssl_channel_credentials(authority.read_bytes()) if authority else grpc.local_channel_credentials()
    return grpc.composite_channel_credentials(channel, grpc.metadata_call_credentials(send))
