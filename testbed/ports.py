"""Picks loopback ports that stay ours.

The kernel hands out ports of its ephemeral range (from 32768 on Linux, 49152 on macOS) to outgoing connections, and
Kubernetes keeps 30000-32767 for NodePorts. A port from below both can be left for a while, when a test stops a
component, and is still free when the component comes back.
"""

import random
import socket

_FIRST, _LAST = 20_000, 29_999
_handed_out: set[int] = set()
# Seeded from the system, so that test runs which fix the seed of `random` don't all pick the same ports.
_random = random.SystemRandom()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on and that this process has not handed out before.

    Another process may take it before it is used: whoever starts a server on it must be ready to try again.
    """
    while True:
        port = _random.randint(_FIRST, _LAST)
        if port not in _handed_out and _is_free(port):
            _handed_out.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Tell whether something accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
