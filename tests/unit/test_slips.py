"""Slips in criteria and bounds: the API server's remedies, found by expressions that RE2 and Python read alike."""

import re

import pytest

from pilotage.judging.criteria import parse_bound, parse_criterion
from pilotage.judging.explaining import CriterionError
from pilotage.resources.cel import reads
from pilotage.resources.slips import BOUND_SLIPS, CRITERION_SLIPS


def told(text: str, slips: tuple[tuple[str, str], ...] = CRITERION_SLIPS) -> str:
    return next((remedy for slip, remedy in slips if re.search(slip, text)), "")


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("errors => 1%", "write the operator as"),
        ("errors ≥ 1%", "write the operator as"),
        ("errors = 1%", "write == where"),
        ("errors > 0,1%", "write a decimal point"),
        ("errors > 5 %", "without a blank"),
        ("p95 > 5 ms for 10m", "without a blank"),
        ("errors > 5% for 10 min", "without a blank"),
        ("errors > 5% for 2 weeks", "without a blank"),
        ("errors > 5percent", "write units as"),
        ("errors > 5% for 10min", "write units as"),
        ("errors > 5% 10m", "write `for` before"),
        ("errors > 5% 1h30m", "write `for` before"),
        ("errors > 5% and p95 > 3s", "one comparison"),
        ("errors > 5% || p95 > 3s", "one comparison"),
        ("errors > 5% significant", "only lift"),
        ("lift(conversions) > 10%", "a lift ends with"),
        ("lift(conversions) > 10% for 7d", "a lift ends with"),
        ("Errors > 5%", "lower case"),
        ("something else", ""),
    ],
)
def test_a_slip_in_a_criterion_is_told_with_its_remedy(text: str, remedy: str) -> None:
    with pytest.raises(CriterionError):
        parse_criterion(text)
    assert remedy in told(text)
    assert bool(remedy) == bool(told(text))


@pytest.mark.parametrize(
    ("text", "remedy"), [("=< 5", "operator"), ("= 5", "=="), ("< 0,1%", "point"), ("< 5 ms", "blank"), ("fast", "")]
)
def test_a_slip_in_a_bound_is_told_with_its_remedy(text: str, remedy: str) -> None:
    with pytest.raises(CriterionError):
        parse_bound(text)
    assert remedy in told(text, BOUND_SLIPS)


@pytest.mark.parametrize("slip", [slip for slip, _ in CRITERION_SLIPS])
def test_expressions_of_slips_use_only_what_re2_knows(slip: str) -> None:
    assert not re.search(r"\(\?|\\[1-9]|[*+?}][+?]", slip)


def test_the_message_chooses_the_first_slip_and_ends_with_what_belongs_there() -> None:
    made = reads("^a$", "write a", [("b", "not b"), ("c", "not c")])
    slips = 'self.matches(r"b") ? r"not b; " : self.matches(r"c") ? r"not c; " : ""'
    assert made.says == f'({slips}) + r"write a"'
    assert reads("^a$", "write a").says == ""
