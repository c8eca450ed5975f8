"""Amounts such as `850M`, `5Ti` or `0.5`, read exactly as `Decimal`, and written as plain decimals.

The Kubernetes client has a reader of its own (`kubernetes.utils.quantity.parse_quantity`), which reads what we read the
same way (a test compares them). It is not used here, because this room must not import a client that does I/O, and
because it also takes signs, exponents and NaN, which no limit has.
"""

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal

from pilotage.resources.tenant_amounts import QUANTITY_PATTERN

EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
"""Enough digits that no sum or product of amounts is rounded: 15 and 9 digits times an Ei make 43."""

_SUFFIXES = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}
_WHOLE = re.compile(QUANTITY_PATTERN.removesuffix("$") + r"\Z")
_LETTERS = "mkKMGTPEi"


def parse_amount(written: str | int) -> Decimal:
    """The amount that is written, exactly: `850M` is 850000000, `5Ti` is 5497558138880.

    Raises:
        ValueError: it is none.
    """
    text = str(written)
    if not _WHOLE.match(text):
        message = f"{text!r} is not an amount; write a number with or without a suffix, such as 50000, 0.5, 850M or 5Ti"
        raise ValueError(message)
    number = text.rstrip(_LETTERS)
    return EXACT.multiply(Decimal(number), _SUFFIXES[text[len(number) :]])


def plain(amount: Decimal, *, places: int = 6) -> str:
    """The amount as a plain decimal, without exponent and trailing zeros, rounded half to even to so many places."""
    rounded = EXACT.quantize(amount, Decimal(1).scaleb(-places))
    text = f"{rounded:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def read_plain(text: str) -> Decimal | None:
    """What `plain` has written; None of an empty text, which stands for unknown."""
    return Decimal(text) if text else None


def humane(amount: Decimal) -> str:
    """For people: three digits with a decimal suffix, `850M`, `1.24k`, `0.5`."""
    for power, letter in reversed(list(enumerate("kMGTPE", start=1))):
        size = Decimal(1000) ** power
        if abs(amount) >= size:
            return f"{_three_digits(amount / size)}{letter}"
    return _three_digits(amount)


def _three_digits(number: Decimal) -> str:
    whole = len(str(int(abs(number))))
    return plain(number, places=max(0, 3 - whole))
