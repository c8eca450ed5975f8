"""Waiting ends with the value, or with a message that says what was seen last."""

import pytest

from testbed import DeadlineExceededError, eventually, wait_until


def test_it_returns_the_first_true_value() -> None:
    values = iter([0, None, "there"])
    assert wait_until(lambda: next(values), "a value", every_seconds=0) == "there"


def test_an_exception_means_not_yet() -> None:
    denominators = iter([0, 0, 2])
    assert wait_until(lambda: 10 // next(denominators), "a quotient", every_seconds=0) == 5


def test_in_vain_it_fails_with_the_last_value() -> None:
    with pytest.raises(DeadlineExceededError, match=r"waited 0.02 s in vain for pods; the last value was \[\]"):
        wait_until(list, "pods", seconds=0.02, every_seconds=0.01)


def test_in_vain_it_fails_with_the_last_exception_as_its_cause() -> None:
    with pytest.raises(DeadlineExceededError, match="the last attempt failed with ZeroDivisionError") as failure:
        wait_until(lambda: 1 / 0, "infinity", seconds=0.02, every_seconds=0.01)
    assert isinstance(failure.value.__cause__, ZeroDivisionError)


async def test_a_coroutine_can_be_waited_for_too() -> None:
    values = iter([None, 7])

    async def ask() -> int | None:
        return next(values)

    assert await eventually(ask, "a number", every_seconds=0) == 7
    with pytest.raises(DeadlineExceededError, match=r"for a number; the last attempt failed with"):
        await eventually(ask, "a number", seconds=0.02, every_seconds=0.01)
