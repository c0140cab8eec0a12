"""What the arguments of a sequential test must be."""

from __future__ import annotations

from typing import Any

from chopmark.errors import InvalidRequest
from chopmark.stats.summaries import check_number

__all__ = ["check_alpha", "check_positive", "check_share"]


def check_alpha(alpha: Any) -> None:
    """Raise `InvalidRequest` unless alpha is a number between 0 and 1."""
    check_number("alpha", alpha)
    if not 0 < alpha < 1:
        raise InvalidRequest(f"An alpha of {alpha} is no error rate.", hint="Give one between 0 and 1, such as 0.05.")


def check_share(share: Any) -> None:
    """Raise `InvalidRequest` unless a share is a number between 0 and 1."""
    check_number("share", share)
    if not 0 < share < 1:
        raise InvalidRequest(f"A share of {share} leaves an arm empty.", hint="Give one between 0 and 1, such as 0.5.")


def check_positive(name: str, value: Any) -> None:
    """Raise `InvalidRequest` unless a value is finite and above 0."""
    check_number(name, value)
    if value <= 0:
        raise InvalidRequest(f"{name} is {value}.", hint="Give a number above 0.")
