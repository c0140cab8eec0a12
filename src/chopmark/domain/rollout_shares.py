"""What people give for a plan, before one is made of it: the strategy, its shares, its checks; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from numbers import Real
from typing import Any, Literal, TypeVar, get_args

from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest

__all__ = ["Strategy", "check_kinds", "check_shares"]

Strategy = Literal["replace", "canary", "blue-green", "ab", "shadow"]

T = TypeVar("T")

_SHARES_MAX: dict[str, int | None] = {"canary": None, "ab": 1, "shadow": 1, "replace": 0, "blue-green": 0}
_LIKE = "Give shares in percent in a list, such as steps=[10, 50, 100]."


def check_shares(strategy: Any, shares: Any) -> tuple[float, ...]:
    """Shares in percent that a strategy can be begun with.

    Raises
    ------
    InvalidRequest
        When there is no such strategy, it takes no such shares, or they are no numbers.

    Examples
    --------
    >>> check_shares("canary", [5, 100])
    (5, 100)
    """
    names = get_args(Strategy)
    if strategy not in names:
        raise InvalidRequest(f"There is no strategy {shown(str(strategy))}.", hint=f"There are: {', '.join(names)}.")
    found = _items(shares, "steps", _LIKE)
    for share in found:
        if isinstance(share, bool) or not isinstance(share, Real):
            raise InvalidRequest(f"{share!r} is no share in percent.", hint=_LIKE)
    most = _SHARES_MAX[strategy]
    if most == 0 and found:
        msg = f"The strategy {strategy} has no steps to choose: it goes to all of the traffic at once."
        raise InvalidRequest(msg, hint="Leave the steps out, or choose the strategy canary.")
    if most is not None and len(found) > most:
        raise InvalidRequest(f"The strategy {strategy} has one share, not {len(found)}.", hint="Give that one.")
    if found and not any(found):
        msg = "With 0 % alone nothing would be seen of the candidate before it has all of the traffic."
        raise InvalidRequest(msg, hint="Give a share above 0.")
    return found


def check_kinds(values: Any, kind: type[T], what: str, example: str) -> tuple[T, ...]:
    """Values that are all of one type.

    Raises
    ------
    InvalidRequest
        When they are not.
    """
    hint = f"Give them in a list, each such as {example}."
    found = _items(values, what, hint)
    for value in found:
        if not isinstance(value, kind):
            raise InvalidRequest(f"Of {what}, {value!r} is no {kind.__name__}.", hint=hint)
    return found


def _items(values: Any, what: str, hint: str) -> tuple[Any, ...]:
    if isinstance(values, (str, bytes, Mapping, AbstractSet)) or not isinstance(values, Iterable):
        raise InvalidRequest(f"{values!r} are no {what}.", hint=hint)
    return tuple(values)
