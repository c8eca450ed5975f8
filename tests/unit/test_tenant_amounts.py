"""Amounts are read exactly, and as Kubernetes reads them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity

from pilotage.resources.tenant_amounts import QUANTITY_PATTERN
from pilotage.tenancy.amounts import humane, parse_amount, plain, read_plain

AMOUNTS = st.from_regex(QUANTITY_PATTERN.removesuffix("$") + r"\Z", fullmatch=True).filter(str.isascii)


def _theirs(text: str) -> Decimal:
    found: Decimal = parse_quantity(text)  # type: ignore[no-untyped-call]
    return found


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("850M", "850000000"),
        ("1G", "1000000000"),
        ("10k", "10000"),
        ("5Ti", "5497558138880"),
        (50000, "50000"),
        ("0.5", "0.5"),
        ("100m", "0.1"),
        ("0.1", "0.1"),
        ("1E", "1000000000000000000"),
    ],
)
def test_amounts_are_read_as_people_mean_them(written: str | int, amount: str) -> None:
    assert parse_amount(written) == Decimal(amount)


@given(AMOUNTS)
def test_what_the_api_server_takes_is_read_as_the_kubernetes_client_reads_it(text: str) -> None:
    if len(text.rstrip("mkKMGTPEi")) <= 20:  # the client's context rounds beyond its 28 digits
        assert parse_amount(text) == pytest.approx(_theirs(text), rel=Decimal("1e-25"))
    parse_amount(text)


@given(st.text(max_size=30))
def test_what_is_no_amount_is_refused_and_nothing_else_is_raised(text: str) -> None:
    try:
        assert parse_amount(text) >= 0
    except ValueError as error:
        assert "is not an amount" in str(error)  # noqa: PT017 - either is fine


@pytest.mark.parametrize("text", ["", "-1", "+1", "1e3", "NaN", "Infinity", "1K", "1 G", "٣", "1\n", "1u", "1.", ".5"])
def test_signs_exponents_and_strangers_are_no_amounts(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        parse_amount(text)


@given(st.decimals(min_value=0, max_value=10**30, places=6))
def test_what_is_written_to_status_is_read_back(amount: Decimal) -> None:
    assert read_plain(plain(amount)) == amount
    assert "E" not in plain(amount)


def test_an_empty_text_is_unknown_and_not_zero() -> None:
    assert read_plain("") is None
    assert read_plain("0") == 0


@pytest.mark.parametrize(
    ("amount", "text"), [("850000000", "850M"), ("1240", "1.24k"), ("0.5", "0.5"), ("999999", "1000k"), ("0", "0")]
)
def test_people_read_three_digits(amount: str, text: str) -> None:
    assert humane(Decimal(amount)) == text
