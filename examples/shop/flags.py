"""How the shop reaches Pilotage's flag service: the OpenFeature SDK's flagd provider, in-process mode."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType

_DEADLINE_MS = 30_000


@dataclass(frozen=True, slots=True)
class FlagSource:
    """Where the flags are.

    Attributes:
        host: of the flag service.
        port: of the flag service.
        namespace: whose flags are read.
        token_file: holds the ServiceAccount token that proves who asks; None where the service asks for none.
    """

    host: str
    port: int
    namespace: str
    token_file: Path | None = None

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the options that `of` reads."""
        parser.add_argument("--flags-host", default="localhost", help="host of the flag service (default: %(default)s)")
        parser.add_argument("--flags-port", type=int, default=8015, help="its port (default: %(default)s)")
        parser.add_argument("--namespace", default="shop", help="namespace whose flags are read (default: %(default)s)")
        parser.add_argument("--token-file", type=Path, help="file with the ServiceAccount token to show")

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Self:
        """The source that the options name."""
        return cls(arguments.flags_host, arguments.flags_port, arguments.namespace, arguments.token_file)


def connect(source: FlagSource) -> None:
    """Make the flags known to OpenFeature, and wait until the first set of them is here.

    Raises:
        openfeature.exception.OpenFeatureError: the flag service did not answer in time, or refused the token.
    """
    provider = FlagdProvider(
        resolver_type=ResolverType.IN_PROCESS,
        host=source.host,
        port=source.port,
        selector=source.namespace,
        deadline_ms=_DEADLINE_MS,
        retry_backoff_ms=500,
        retry_backoff_max_ms=1000,
    )
    api.set_provider_and_wait(provider)
