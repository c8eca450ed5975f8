"""What the reports on tenants have in common: which month is meant, and that no cluster is known."""

import argparse
from datetime import UTC, datetime

from pilotage.tenancy.cost import Month

NO_CLUSTER = "no cluster is known: give --kubeconfig, or set KUBECONFIG"


def month_of(arguments: argparse.Namespace) -> Month:
    """The month that was asked for, or this one.

    Raises:
        ValueError: it is not written as YYYY-MM.
    """
    return Month.parse(arguments.month) if arguments.month else Month.of(datetime.now(UTC))
