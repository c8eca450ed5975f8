"""Run the flag service."""

import argparse

HELP = "run the flag service"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pilotage flags`."""


def execute(arguments: argparse.Namespace) -> int:
    """Serve."""
    raise NotImplementedError
