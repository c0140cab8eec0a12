"""Which op a method and a path ask for; pure.

A reference may hold a slash (``risk/fraud:3``), so a path is split before its parts are decoded: a client writes it as
``%2F``. One walk over the parts finds the route, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import unquote

from chopmark.errors import InvalidRequest

__all__ = ["Found", "Routes"]

T = TypeVar("T")


class Found(NamedTuple, Generic[T]):
    """What is there: by method what serves it, and the parts of the path that name something."""

    by_method: Mapping[str, T]
    places: dict[str, str]


class _Node(Generic[T]):
    def __init__(self) -> None:
        self.literal: dict[str, _Node[T]] = {}
        self.named: _Node[T] | None = None
        self.tail: _Node[T] | None = None
        self.names: tuple[str, ...] = ()
        self.by_method: dict[str, T] = {}


class Routes(Generic[T]):
    """A tree of paths such as ``/versions/{ref}/stages``.

    A literal part wins over a named one, and that over ``{*rest}``, which takes all that is left.

    Parameters
    ----------
    rows
        Method, path, and what serves them.
    """

    def __init__(self, rows: Iterable[tuple[str, str, T]]) -> None:
        self._root: _Node[T] = _Node()
        for method, path, what in rows:
            self._add(method, path, what)

    def _add(self, method: str, path: str, what: T) -> None:
        node, names = self._root, []
        for part in path.removeprefix("/").split("/"):
            if part.startswith("{*"):
                names.append(part[2:-1])
                node.tail = node = node.tail or _Node()
            elif part.startswith("{"):
                names.append(part[1:-1])
                node.named = node = node.named or _Node()
            else:
                node = node.literal.setdefault(part, _Node())
        if method in node.by_method or (node.names and node.names != tuple(names)):
            raise ValueError(f"{method} {path} is there already, or its place has another name.")
        node.names = tuple(names)
        node.by_method[method] = what

    def find(self, path: str) -> Found[T] | None:
        """What serves a path; None when nothing does.

        Parameters
        ----------
        path
            As it was sent, percent-encoded.

        Raises
        ------
        InvalidRequest
            When what it names is not UTF-8.
        """
        parts = path.removeprefix("/").split("/")
        found = _find(self._root, parts, 0)
        if found is None:
            return None
        node, values = found
        try:
            decoded = [unquote(value, errors="strict") for value in values]
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"The path {path[:200]!r} is not UTF-8.", hint="Percent-encode UTF-8.") from error
        return Found(node.by_method, dict(zip(node.names, decoded, strict=True)))


def _find(node: _Node[T], parts: list[str], at: int) -> tuple[_Node[T], list[str]] | None:
    if at == len(parts):
        return (node, []) if node.by_method else None
    following = node.literal.get(parts[at])
    if following is not None:
        found = _find(following, parts, at + 1)
        if found is not None:
            return found
    if node.named is not None and parts[at]:
        found = _find(node.named, parts, at + 1)
        if found is not None:
            return found[0], [parts[at], *found[1]]
    return (node.tail, ["/".join(parts[at:])]) if node.tail is not None and parts[at] else None
