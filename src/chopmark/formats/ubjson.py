"""Whether bytes are one whole UBJSON value (https://ubjson.org, draft 12).

XGBoost's parser trusts the lengths in a file: a truncated one ends the process. So the file is
walked once here, without building anything, before the library sees it.
"""

from __future__ import annotations

from chopmark.errors import InvalidRequest

__all__ = ["check_ubjson"]

DEPTH_MAX = 200
_WIDTHS = {"Z": 0, "N": 0, "T": 0, "F": 0, "i": 1, "U": 1, "C": 1, "I": 2, "l": 4, "d": 4, "L": 8, "D": 8}
_INTEGERS = "iUIlL"


def check_ubjson(data: bytes | bytearray) -> None:
    """Refuse bytes that are not exactly one UBJSON value.

    Raises
    ------
    InvalidRequest
        When they end early, go on afterwards, nest more than 200 levels, or have an unknown type.
    """
    walker = _Walker(memoryview(data))
    walker.value(walker.marker(), 0)
    if walker.at != len(data):
        raise InvalidRequest(f"The UBJSON value ends at byte {walker.at:,} of {len(data):,}.")


class _Walker:
    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    def skip(self, size_bytes: int) -> memoryview:
        """Pass over bytes that must be there."""
        end = self.at + size_bytes
        if size_bytes < 0 or end > len(self.data):
            raise InvalidRequest(f"The UBJSON value needs byte {end:,} and there are {len(self.data):,}.")
        passed = self.data[self.at : end]
        self.at = end
        return passed

    def marker(self) -> str:
        """The next type marker."""
        return chr(self.skip(1)[0])

    def integer(self) -> int:
        """A length: an integer with its own marker."""
        kind = self.marker()
        if kind not in _INTEGERS:
            raise InvalidRequest(f"The UBJSON value has a length of the type {kind!r}.")
        return int.from_bytes(self.skip(_WIDTHS[kind]), "big", signed=kind != "U")

    def value(self, kind: str, depth: int) -> None:
        """Pass over one value whose marker was read."""
        if kind in _WIDTHS:
            self.skip(_WIDTHS[kind])
        elif kind in "SH":
            self.skip(self.integer())
        elif kind in "[{":
            if depth > DEPTH_MAX:
                raise InvalidRequest(f"The UBJSON value nests more than {DEPTH_MAX} levels.")
            self.container(kind, depth)
        else:
            raise InvalidRequest(f"The UBJSON value has the unknown type {kind!r}.")

    def container(self, kind: str, depth: int) -> None:
        """Pass over an array or object: of one type and counted, counted, or up to its end mark."""
        item, count = "", None
        if self.peek() == "$":
            self.skip(1)
            item = self.marker()
        if self.peek() == "#":
            self.skip(1)
            count = self.integer()
        if kind == "[" and count is not None and item in _WIDTHS:
            self.skip(count * _WIDTHS[item])
            return
        end = "]" if kind == "[" else "}"
        done = 0
        while (done < count) if count is not None else (self.peek() != end):
            if kind == "{":
                self.skip(self.integer())
            self.value(item or self.marker(), depth + 1)
            done += 1
        if count is None:
            self.skip(1)

    def peek(self) -> str:
        """The next marker, which stays."""
        marker = self.marker()
        self.at -= 1
        return marker
