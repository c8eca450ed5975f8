"""How the shop reaches Pilotage's flag service: the OpenFeature SDK's flagd provider, in-process mode."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import grpc
from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType

_DEADLINE_MS = 30_000
_KEEP_ALIVE_MS = 30_000
_NO_DEADLINE = 0
"""By default the provider ends its stream every 10 minutes and pauses: what is taken back then is taken back late."""


@dataclass(frozen=True, slots=True)
class FlagSource:
    """Where the flags are.

    Attributes:
        host: of the flag service.
        port: of the flag service.
        namespace: whose flags are read.
        token_file: holds the ServiceAccount token that proves who asks; None where the service asks for none.
        ca_file: certificates to trust; None where it is reached on loopback without TLS.
    """

    host: str
    port: int
    namespace: str
    token_file: Path | None = None
    ca_file: Path | None = None

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the options that `of` reads."""
        parser.add_argument("--flags-host", default="localhost", help="host of the flag service (default: %(default)s)")
        parser.add_argument("--flags-port", type=int, default=8015, help="its port (default: %(default)s)")
        parser.add_argument("--namespace", default="shop", help="namespace whose flags are read (default: %(default)s)")
        parser.add_argument("--token-file", type=Path, help="file with the ServiceAccount token to send")
        parser.add_argument("--ca-file", type=Path, help="certificates to trust; without it, no TLS")

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Self:
        """The source that the options name."""
        return cls(
            host=arguments.flags_host,
            port=arguments.flags_port,
            namespace=arguments.namespace,
            token_file=arguments.token_file,
            ca_file=arguments.ca_file,
        )


class _Token(grpc.AuthMetadataPlugin):  # type: ignore[misc] # grpc brings no types
    """Sends the token with each call; reads it anew, for Kubernetes renews a mounted token on disk."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, _context: object, callback: Callable[[tuple[tuple[str, str], ...], None], None]) -> None:
        callback((("authorization", f"Bearer {self._file.read_text().strip()}"),), None)


def _credentials(source: FlagSource) -> grpc.ChannelCredentials | None:
    if source.token_file is None:
        return None
    # Over TCP without TLS, gRPC sends a token on loopback only.
    channel = (
        grpc.ssl_channel_credentials(source.ca_file.read_bytes())
        if source.ca_file
        else grpc.local_channel_credentials(grpc.LocalConnectionType.LOCAL_TCP)
    )
    return grpc.composite_channel_credentials(channel, grpc.metadata_call_credentials(_Token(source.token_file)))


def connect(source: FlagSource) -> None:
    """Make the flags known to OpenFeature, and wait until the first set of them is here.

    Raises:
        openfeature.exception.OpenFeatureError: the flag service did not answer in time, or refused the token.
    """
    provider = FlagdProvider(
        resolver_type=ResolverType.IN_PROCESS,
        host=source.host,
        port=source.port,
        selector=f"flagSetId={source.namespace}",
        channel_credentials=_credentials(source),
        deadline_ms=_DEADLINE_MS,
        keep_alive_time=_KEEP_ALIVE_MS,
        stream_deadline_ms=_NO_DEADLINE,
        retry_backoff_ms=500,
        retry_backoff_max_ms=1000,
    )
    api.set_provider_and_wait(provider)
