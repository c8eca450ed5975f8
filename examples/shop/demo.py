"""The demo: a feature reaches a shop's users cohort by cohort; another one breaks, and is taken back within seconds.

    python -m examples.shop.demo            (or: make demo)

Real parts on loopback: a Kubernetes control plane, Prometheus, the operator, the flag service, the shop, its users.
Nothing is left running at the end. The exit status is 0 if the story happened, 1 if not, 2 if it could not begin.
"""

import argparse
import asyncio
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from examples.shop.acts import CHECKOUT, ERROR_RATIO, SEARCH, Measured, StoryError, Teller
from examples.shop.screen import Screen, make_screen
from examples.shop.stage import NAMESPACE, PartEndedError, Stage, set_up
from examples.shop.watch import Watcher
from pilotage.kube import Kube
from pilotage.metrics.source import PrometheusSource
from pilotage.reports.collect import collect
from pilotage.reports.command import write_page
from pilotage.reports.record import Mark, Report
from testbed import DeadlineExceededError, KubectlError, SetupError

_NOTE = "Time was compressed: one second stood for one day of a real rollout."


async def play(stage: Stage, screen: Screen, output: Path) -> Measured:
    """Tell the whole story and write the report.

    Raises:
        StoryError: it did not happen.
        PartEndedError: a part ended by itself.
    """
    kube = await Kube.connect(stage.cluster.kubeconfig)
    async with Watcher(kube, stage.addresses, Watcher.session()) as watcher:
        teller = Teller(stage, watcher, screen)
        await teller.let_search_out()
        measured = await teller.let_checkout_break()
        with screen.step("the report"):
            await write_report(kube, stage, measured, output)
    return measured


async def write_report(kube: Kube, stage: Stage, measured: Measured, output: Path) -> None:
    """Write the report of both rollouts from what Kubernetes and Prometheus recorded."""
    fault = Mark(measured.fault_at, f"the treatment starts to fail ({ERROR_RATIO:.0%} errors)", "fault")
    back = Mark(measured.everybody_at, "all came back without it")
    now = datetime.now(UTC)
    async with PrometheusSource(stage.addresses.prometheus) as source:
        records = [
            await collect(
                kube,
                source.ask,
                namespace=NAMESPACE,
                name=feature,
                now=now,
                seen_query=f'max(treated_users{{feature="{feature}"}})',
                marks=marks,
            )
            for feature, marks in ((SEARCH, ()), (CHECKOUT, (fault, back)))
        ]
    report = Report("A shop lets two features out", now, tuple(records), (_NOTE,))
    await asyncio.to_thread(write_page, report, output)


def tell(measured: Measured, seconds: float, output: Path) -> str:
    """What a reader should take home."""
    return f"""
The story happened, in {seconds:.0f} s (1 second stood for 1 day):
  semantic-search     reached everybody; nobody who had it lost it on the way
  one-click-checkout  broke for {measured.users:,} users and was taken back
      fault -> decision to roll back                        {measured.to_decision:5.1f} s
      fault -> last answer with the treatment to any client {measured.to_last_answer:5.1f} s
      fault -> every user who had it came back without it   {measured.to_everybody:5.1f} s
Report: {output}
"""


def run(output: Path, logs: Path | None = None) -> int:
    """Run the demo; returns the exit status.

    Args:
        output: where the report goes.
        logs: where to keep what the parts said; nowhere if None.
    """
    try:
        with ExitStack() as stack, make_screen() as screen:
            stage = set_up(stack, screen.step)
            if logs:
                stack.callback(stage.keep_logs, logs)
            measured = asyncio.run(play(stage, screen, output))
            screen.say("ending all parts")
    except (SetupError, KubectlError, DeadlineExceededError) as error:
        return _fail(f"The demo could not begin: {error}", 2)
    except (StoryError, PartEndedError) as error:
        return _fail(f"The story did not happen: {error}", 1)
    except KeyboardInterrupt:
        return _fail("Interrupted; everything was ended.", 130)
    sys.stdout.write(tell(measured, screen.seconds, output))
    return 0


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"\n{message}\n")
    return status


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="Watch a feature reach real users, and another one be taken back.")
    default = Path("out/demo/report.html")
    parser.add_argument("--report", type=Path, default=default, help="where the report goes (default: %(default)s)")
    parser.add_argument("--logs", type=Path, help="folder to keep the logs of all parts in")
    arguments = parser.parse_args()
    return run(arguments.report, arguments.logs)


if __name__ == "__main__":
    sys.exit(main())
