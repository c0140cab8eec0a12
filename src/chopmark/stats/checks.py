"""What arguments must be: each check raises `InvalidRequest` in one form of words, before anything is done."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from chopmark.errors import InvalidRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "as_array",
    "check_between",
    "check_count",
    "check_number",
    "check_numbers",
    "check_positive",
    "check_share",
    "check_shares",
    "check_whole",
    "check_word",
]

_SUM_PRECISION = 1e-9
_COUNT_MAX = 2**63 - 1


def check_count(name: str, value: Any) -> None:
    """Raise `InvalidRequest` unless the value is a whole number, 0 or more, that eight bytes hold."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidRequest(
            f"{name} is {value!r}, which is no count.",
            hint=f"A count is a whole number, 0 or more.{_plain_hint(value, int)}",
        )
    if value > _COUNT_MAX:
        raise InvalidRequest(
            f"{name} has more than {len(str(_COUNT_MAX)) - 1} digits.", hint=f"Counts go to {_COUNT_MAX:,}."
        )


def check_number(name: str, value: Any, *, least: float = -math.inf) -> None:
    """Raise `InvalidRequest` unless the value is finite and at least so large."""
    if not _is_finite(value) or value < least:
        wanted = "a finite number" if least == -math.inf else f"a finite number, {least:g} or more"
        raise InvalidRequest(f"{name} is {value!r}.", hint=f"Give {wanted}.{_plain_hint(value, float)}")


def check_numbers(values: ArrayLike, what: str = "a value") -> NDArray[np.float64]:
    """Return the values as numbers, shape (n,); raise `InvalidRequest` unless they are finite numbers."""
    import numpy as np

    found = as_array(values)
    if found.dtype.kind not in "biuf":
        raise InvalidRequest(f"An array of {found.dtype} holds no numbers.", hint="Give an array of numbers.")
    numbers = found.astype(np.float64, copy=False).reshape(-1)
    if not np.isfinite(numbers).all():
        raise InvalidRequest(
            f"{what.capitalize()} is not finite.", hint="Drop missing values first, and count them apart."
        )
    return numbers


def as_array(values: ArrayLike) -> NDArray[Any]:
    """Return the values as an array; raise `InvalidRequest` when they are rows of different lengths."""
    import numpy as np

    try:
        return np.asarray(values)
    except ValueError as error:
        raise InvalidRequest("Rows of different lengths are no array.", hint="Give one row of numbers.") from error


def check_between(name: str, value: Any, low: float, high: float, *, hint: str = "") -> None:
    """Raise `InvalidRequest` unless the value is a number in a range, ends included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InvalidRequest(f"{name} is {value!r}.", hint=hint or f"Give a number from {low:g} to {high:g}.")


def check_whole(name: str, value: Any, low: int, high: int) -> None:
    """Raise `InvalidRequest` unless the value is a whole number in a range, ends included."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidRequest(f"{name} is {value!r}.", hint=f"Give a whole number from {low:,} to {high:,}.")


def check_share(name: str, value: Any, *, hint: str = "") -> None:
    """Raise `InvalidRequest` unless the value is strictly between 0 and 1, as a share, a level or a confidence is."""
    check_number(name, value)
    if not 0 < value < 1:
        raise InvalidRequest(f"{name} is {value!r}.", hint=hint or "Give a number between 0 and 1, both left out.")


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise `InvalidRequest` unless each is a share, and they sum to 1."""
    for name, share in shares.items():
        check_share(f"share of {name}", share)
    total = math.fsum(shares.values())
    if abs(total - 1) > _SUM_PRECISION:
        raise InvalidRequest(f"The shares sum to {total:g}.", hint="Give shares that sum to 1.")


def check_positive(name: str, value: Any) -> None:
    """Raise `InvalidRequest` unless the value is finite and above 0."""
    check_number(name, value)
    if value <= 0:
        raise InvalidRequest(f"{name} is {value!r}.", hint="Give a number above 0.")


def check_word(name: str, word: Any, words: object) -> None:
    """Raise `InvalidRequest` unless the word is one of a `Literal`."""
    if not isinstance(word, str) or word not in get_args(words):
        raise InvalidRequest(f"{name} is {word!r}.", hint=f"Use one of: {', '.join(get_args(words))}.")


def _is_finite(value: Any) -> bool:
    """Whether a value is a number that a float can hold: a whole number may be larger than any."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= sys.float_info.max


def _plain_hint(value: Any, kind: type[int | float]) -> str:
    """How a number of an array becomes a plain one: values are told on as JSON, and hold no others."""
    is_number = hasattr(value, "__index__" if kind is int else "__float__") and not isinstance(value, (int, float))
    return f" Turn {type(value).__name__} into a plain number with {kind.__name__}()." if is_number else ""
