"""What packages offer by entry point: found by name, imported when asked for."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from chopmark.errors import NotFound, Unsupported

__all__ = ["Plugins"]

T = TypeVar("T")


class Plugins(Generic[T]):
    """Everything that installed packages offer under one group.

    Parameters
    ----------
    group
        Of entry points.
    noun
        What one of them is.
    hint
        Said beside what is installed when there is none of a name.
    """

    def __init__(self, group: str, noun: str, hint: str) -> None:
        self.group = group
        self._noun = noun
        self._hint = hint
        self._loaded: dict[str, T] = {}

    @cached_property
    def _entries(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=self.group)}

    @property
    def names(self) -> tuple[str, ...]:
        """All that are installed, sorted; nothing is imported."""
        return tuple(sorted(self._entries))

    def get(self, name: str) -> T:
        """The one of this name; its module is imported on first use.

        Raises
        ------
        NotFound
            When no installed package offers it; the hint lists what exists.
        Unsupported
            When the package that offers it cannot be imported.
        """
        if name in self._loaded:
            return self._loaded[name]
        entry = self._entries.get(name)
        if entry is None:
            raise NotFound(
                f"There is no {self._noun} {name!r}.", hint=f"Installed are {', '.join(self.names)}{self._hint}"
            )
        try:
            found: T = entry.load()
        except (ImportError, AttributeError) as error:
            msg = f"The {self._noun} {name!r} of {entry.value} cannot be loaded: {error}."
            raise Unsupported(msg, hint="Install the package that offers it again, or remove it.") from error
        self._loaded[name] = found
        return found
