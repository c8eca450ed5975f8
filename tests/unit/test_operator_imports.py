"""What the operator's process loads: heavy libraries cost seconds at each start and megabytes for good."""

import subprocess
import sys

HEAVY = ("scipy", "pandas", "numpy", "matplotlib", "sklearn")


def test_the_operator_is_imported_without_scipy_and_pandas() -> None:
    """In a fresh interpreter: what another test has imported must not count, nor what it has not."""
    code = f"import sys, pilotage.cli.operate; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
