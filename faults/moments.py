"""Moments within an op that a kill can be aimed at: a put, a deletion, a transaction, a record beside the blobs.

A child tells when each begins and ends. What the registry does is not changed by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from chopmark import wiring
from faults.children import Announce

__all__ = ["MOMENTS", "tell_moments"]

MOMENTS = {
    "put begins": 3,
    "put ends": 3,
    "transaction begins": 4,
    "transaction ends": 2,
    "record begins": 2,
    "record ends": 1,
    "delete begins": 1,
    "delete ends": 1,
}
"""What is told → how often a kill is aimed at it."""


def tell_moments(tell: Announce) -> None:
    """From now on tell the moments of every registry that this process opens. For a child that will be killed."""

    def told(what: str) -> None:
        tell({"at": "moment", "what": what})

    opening = {"open_store": _of_store, "open_records": _of_records, "open_catalog": _of_catalog}
    for name, watch in opening.items():
        setattr(wiring, name, _watched(getattr(wiring, name), watch, told))


_Told = Callable[[str], None]


def _watched(open_it: Callable[..., Any], watch: Callable[[Any, _Told], None], told: _Told) -> Callable[..., Any]:
    def opened(*arguments: Any, **named: Any) -> Any:
        made = open_it(*arguments, **named)
        watch(made, told)
        return made

    return opened


def _of_store(store: Any, told: _Told) -> None:
    _around(store, "put", "put", told)
    _around(store, "put_all", "put", told)
    _around(store, "delete", "delete", told)


def _of_records(records: Any, told: _Told) -> None:
    _around(records, "put", "record", told)
    _around(records, "delete", "record", told)


def _of_catalog(catalog: Any, told: _Told) -> None:
    writing = catalog.writing

    @contextmanager
    def watched(*arguments: Any, **named: Any) -> Iterator[Any]:
        transaction: AbstractContextManager[Any] = writing(*arguments, **named)
        with transaction as tx:
            told("transaction begins")
            yield tx
        told("transaction ends")

    catalog.writing = watched


def _around(thing: Any, method: str, what: str, told: _Told) -> None:
    """Tell before and after a method of this one object, when it has it."""
    inner = getattr(thing, method, None)
    if inner is None:
        return

    def outer(*arguments: Any, **named: Any) -> Any:
        told(f"{what} begins")
        answer = inner(*arguments, **named)
        told(f"{what} ends")
        return answer

    setattr(thing, method, outer)
