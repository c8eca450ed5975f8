"""This process's environment variables, copied: what children are started with.

A child that is given no variables looks at its parent's own, and its exec fails with EFAULT ("Bad address") where
another thread sets one at that moment; pytest sets one with each test.
"""

import os


def variables() -> dict[str, str]:
    """A copy, also while another thread takes a variable away."""
    while True:
        try:
            return dict(os.environ)
        except (KeyError, RuntimeError):
            continue
