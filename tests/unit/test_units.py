"""Units: what may be compared with what, the remedy where it may not, and how values are written."""

import pytest

from pilotage.judging.criteria import parse_bound, parse_criterion
from pilotage.judging.units import FUNCTION_UNIT, format_value, mismatch
from pilotage.resources.indicators import Unit

FITTING: dict[Unit | None, tuple[str, ...]] = {
    "ratio": ("> 1%", "> 150%", "> 0.5", "< -0.05", "== 0"),
    "seconds": ("> 50ms", "> 3s", "> 2m", "> 1h", "> 1d", "> 0"),
    "count": ("> 50", "> 0.5", "== 0", "> -3"),
    "score": (">= 8.5", "> 0"),
    None: ("> 50", "> 0.5", "> 0"),
}


@pytest.mark.parametrize(("unit", "text"), [(unit, text) for unit, texts in FITTING.items() for text in texts])
def test_what_fits_is_taken(unit: Unit | None, text: str) -> None:
    assert mismatch("x", unit, parse_bound(text)) == ""


@pytest.mark.parametrize(
    ("unit", "text", "said"),
    [
        ("ratio", "> 50ms", "compares seconds with percent: x is a ratio; write a percentage such as 1%"),
        ("ratio", "> 1", "1 may mean 1% or 100%: x is a ratio; write the %"),
        ("ratio", "> -5", "-5 may mean -5% or -500%: x is a ratio; write the %"),
        ("seconds", "> 5%", "compares seconds with percent: x is in seconds; write 5s or 5000ms"),
        ("seconds", "> 0%", "compares seconds with percent: x is in seconds; write 0s or 0ms"),
        ("seconds", "> 0.5", "compares seconds with a plain number: x is in seconds; write 0.5s"),
        ("count", "> 5%", "compares percent with a count: x is a count; write a plain number such as 5"),
        ("score", "> 5s", "compares seconds with a score: x is a score; write a plain number such as 5"),
        (None, "> 5%", "compares percent with an indicator that declares no unit: add `unit: ratio` to x, or write"),
        (None, "> 5s", "compares seconds with an indicator that declares no unit: add `unit: seconds` to x, or write"),
    ],
)
def test_what_does_not_fit_is_told_with_the_remedy(unit: Unit | None, text: str, said: str) -> None:
    assert mismatch("x", unit, parse_bound(text)).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lift(conversions) > 10% significant", ""),
        ("lift(conversions) > 0.1 significant", ""),
        ("lift(conversions) > 0 significant", ""),
        ("lift(conversions) > 10 significant", "10 may mean 10% or 1000%: lift(conversions) is a ratio; write the %"),
        ("lift(conversions) > 10s significant", "compares seconds with percent: lift(conversions) is a ratio"),
        ("score(customer) >= 8.0", ""),
        ("score(customer) >= 80%", "compares percent with a score: score(customer) is a score; write a plain number"),
        ("incidents(critical, open) == 0", ""),
        ("incidents(open) <= 5m", "compares seconds with a count: incidents(open) is a count; write a plain number"),
    ],
)
def test_functions_have_units_too(text: str, said: str) -> None:
    written = parse_criterion(text)
    found = mismatch(written.subject, FUNCTION_UNIT[written.function], written.bound)
    assert found.startswith(said) if said else found == ""


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.031, "ratio", "3.1%"),
        (0.048, "seconds", "48ms"),
        (125.0, "seconds", "2m5s"),
        (8.94, "score", "8.94"),
        (0.0, "seconds", "0s"),
        (-0.0, "count", "0"),
        (1e-7, "ratio", "0.00001%"),
    ],
)
def test_values_are_written_for_people(value: float, unit: Unit, text: str) -> None:
    assert format_value(value, unit) == text


def test_a_value_never_reads_like_the_bound_that_it_misses() -> None:
    assert format_value(0.9989999, "ratio", apart_from=0.999) == "99.89999%"
    assert format_value(0.0500001, "seconds", apart_from=0.05) == "50.0001ms"
